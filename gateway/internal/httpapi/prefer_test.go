package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines []string
		want  int
	}{
		"none":                         {nil, 0},
		"empty":                        {[]string{""}, 0},
		"simple":                       {[]string{"wait=5"}, 5},
		"zero":                         {[]string{"wait=0"}, 0},
		"leading zeros":                {[]string{"wait=007"}, 7},
		"the longest":                  {[]string{"wait=30"}, 30},
		"too long":                     {[]string{"wait=31"}, 30},
		"of many digits":               {[]string{"wait=" + strings.Repeat("9", 5000)}, 30},
		"other capitals":               {[]string{"WaIt=5"}, 5},
		"spaces":                       {[]string{" \twait \t=\t 5 \t"}, 5},
		"quoted":                       {[]string{`wait="5"`}, 5},
		"in a list":                    {[]string{"respond-async, wait=5, return=minimal"}, 5},
		"empty elements":               {[]string{", ,wait=5,,"}, 5},
		"on a later line":              {[]string{"respond-async", "wait=5"}, 5},
		"with a parameter":             {[]string{"wait=5; why=not; wait=9"}, 5},
		"with an empty parameter":      {[]string{"wait=5;;"}, 5},
		"twice":                        {[]string{"wait=5, wait=9"}, 5},
		"twice, on two lines":          {[]string{"wait=5", "wait=9"}, 5},
		"zero first":                   {[]string{"wait=0, wait=9"}, 0},
		"after a quoted comma":         {[]string{`a="x, wait=9", wait=5`}, 5},
		"after a quoted semicolon":     {[]string{`a="x; y", wait=5`}, 5},
		"after an escaped quote":       {[]string{`a="\", wait=9", wait=5`}, 5},
		"in a quoted string":           {[]string{`a="wait=9"`}, 0},
		"as a parameter":               {[]string{"respond-async; wait=9"}, 0},
		"without a value":              {[]string{"wait"}, 0},
		"with an empty value":          {[]string{"wait="}, 0},
		"with an empty quoted value":   {[]string{`wait=""`}, 0},
		"negative":                     {[]string{"wait=-1"}, 0},
		"signed":                       {[]string{"wait=+1"}, 0},
		"a fraction":                   {[]string{"wait=1.5"}, 0},
		"a unit":                       {[]string{"wait=5s"}, 0},
		"two values":                   {[]string{"wait=5 6"}, 0},
		"two signs of equality":        {[]string{"wait==5"}, 0},
		"other digits":                 {[]string{"wait=\u0665"}, 0},
		"one quote":                    {[]string{`wait="5`}, 0},
		"an open string":               {[]string{`a="x, wait=9`}, 0},
		"of another name":              {[]string{"waits=9, await=9, wait-for=9"}, 0},
		"valid after one that is not":  {[]string{"wait=soon, wait=5"}, 5},
		"valid on the line after that": {[]string{`a="open`, "wait=5"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, preferredWait(http.Header{headerPrefer: tc.lines}))
		})
	}
}

// FuzzPreferredWait holds that nothing in the header makes a request wait
// longer than the longest, and that nothing before or after it changes a
// preference that counts.
func FuzzPreferredWait(f *testing.F) {
	for _, seed := range []string{"", "wait=5", `a="\"`, `"`, "wait=99999999999999999999", ",;=\\", "respond-async, wait=1;x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		wait := func(lines ...string) int { return preferredWait(http.Header{headerPrefer: lines}) }
		got := wait(line)
		require.GreaterOrEqual(t, got, 0)
		require.LessOrEqual(t, got, 30)
		if got > 0 {
			require.Contains(t, strings.ToLower(line), "wait")
		}
		require.Equal(t, 7, wait("wait=7", line))
		require.Equal(t, 7, wait("wait=7,"+line))
		if got > 0 {
			require.Equal(t, got, wait(line, "wait=7"))
		}
	})
}

func BenchmarkPreferredWait(b *testing.B) {
	h := http.Header{headerPrefer: {"respond-async, wait=10"}}
	b.ReportAllocs()
	for b.Loop() {
		if preferredWait(h) != 10 {
			b.Fatal("not seen")
		}
	}
}
