package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func lanes() []string { return []string{"/v1/sync", "/v1/async"} }

// TestBadBodies holds the answer to every kind of malformed body.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tc := range map[string]struct {
		body   string
		status int
		code   string
		field  string // where the code is invalid-field
		detail string // a part of it
	}{
		"empty":                  {"", 400, "malformed-json", "", "the body is empty"},
		"blank":                  {" \n\t", 400, "malformed-json", "", "unexpected end"},
		"truncated object":       {`{"action":"delay"`, 400, "malformed-json", "", "unexpected end"},
		"truncated string":       {`{"action":"del`, 400, "malformed-json", "", "unexpected end"},
		"truncated payload":      {`{"action":"delay","payload":{"a":[1,2`, 400, "malformed-json", "", "unexpected end"},
		"not JSON":               {`action=delay`, 400, "malformed-json", "", "invalid character"},
		"single quotes":          {`{'action':'delay'}`, 400, "malformed-json", "", "invalid character"},
		"comment":                {`{"action":"delay"} // now`, 400, "malformed-json", "", "data after"},
		"two values":             {`{"action":"delay"}{"action":"delay"}`, 400, "malformed-json", "", "data after"},
		"trailing comma":         {`{"action":"delay",}`, 400, "malformed-json", "", "invalid character"},
		"NaN":                    {`{"action":"delay","duration_ms":NaN}`, 400, "malformed-json", "", "invalid character"},
		"byte order mark":        {"\xef\xbb\xbf" + `{"action":"delay"}`, 400, "malformed-json", "", "invalid character"},
		"UTF-16":                 {"{\x00\"\x00a\x00", 400, "malformed-json", "", "invalid character"},
		"bad UTF-8":              {"{\"action\":\"delay\",\"payload\":\"\xff\xfe\"}", 400, "malformed-json", "", "UTF-8"},
		"control character":      {"{\"action\":\"delay\",\"payload\":\"a\nb\"}", 400, "malformed-json", "", "invalid character"},
		"NUL":                    {"\x00", 400, "malformed-json", "", "invalid character"},
		"too deep":               {`{"action":"delay","payload":` + deep(20_000) + `}`, 400, "malformed-json", "", "depth"},
		"array":                  {`[]`, 400, "malformed-json", "", "not one JSON object"},
		"string":                 {`"delay"`, 400, "malformed-json", "", "not one JSON object"},
		"null":                   {`null`, 400, "malformed-json", "", "not one JSON object"},
		"number":                 {`1`, 400, "malformed-json", "", "not one JSON object"},
		"no action":              {`{}`, 422, "invalid-field", "action", "allowed: delay, block, cpu, http"},
		"unknown action":         {`{"action":"sleep"}`, 422, "invalid-field", "action", "sleep"},
		"action of other case":   {`{"action":"Delay"}`, 422, "invalid-field", "action", "Delay"},
		"action null":            {`{"action":null}`, 422, "invalid-field", "action", "null"},
		"action number":          {`{"action":1}`, 422, "invalid-field", "action", "1 is not allowed"},
		"unknown field":          {`{"action":"delay","durationMs":5}`, 422, "invalid-field", "durationMs", "unknown field"},
		"field of other case":    {`{"ACTION":"delay"}`, 422, "invalid-field", "ACTION", "unknown field"},
		"repeated field":         {`{"action":"delay","action":"cpu"}`, 422, "invalid-field", "action", "repeated"},
		"long field name":        {`{"` + strings.Repeat("x", 10_000) + `":1}`, 422, "invalid-field", "", "unknown field"},
		"duration text":          {`{"action":"delay","duration_ms":"5"}`, 422, "invalid-field", "duration_ms", "0 to 60000"},
		"duration fraction":      {`{"action":"delay","duration_ms":1.5}`, 422, "invalid-field", "duration_ms", "1.5"},
		"duration negative":      {`{"action":"delay","duration_ms":-1}`, 422, "invalid-field", "duration_ms", "-1"},
		"duration too long":      {`{"action":"delay","duration_ms":60001}`, 422, "invalid-field", "duration_ms", "60001"},
		"duration huge":          {`{"action":"delay","duration_ms":99999999999999999999999}`, 422, "invalid-field", "duration_ms", "0 to 60000"},
		"duration exponent":      {`{"action":"delay","duration_ms":1e999999}`, 422, "invalid-field", "duration_ms", "1e999999"},
		"duration of 10k digits": {`{"action":"delay","duration_ms":` + strings.Repeat("9", 10_000) + `}`, 422, "invalid-field", "duration_ms", "0 to 60000"},
		"duration null":          {`{"action":"delay","duration_ms":null}`, 422, "invalid-field", "duration_ms", "null"},
		"duration list":          {`{"action":"delay","duration_ms":[1]}`, 422, "invalid-field", "duration_ms", "[1]"},
		"run empty":              {`{"action":"delay","run":""}`, 422, "invalid-field", "run", "1 to 64"},
		"run too long":           {`{"action":"delay","run":"` + strings.Repeat("r", 65) + `"}`, 422, "invalid-field", "run", "1 to 64"},
		"run with a space":       {`{"action":"delay","run":"a b"}`, 422, "invalid-field", "run", "a b"},
		"key with a space":       {`{"action":"delay","key":"a b"}`, 422, "invalid-field", "key", "a b"},
		"run with a new line":    {`{"action":"delay","run":"a\nb"}`, 422, "invalid-field", "run", "1 to 64"},
		"fail text":              {`{"action":"delay","fail":"panic"}`, 422, "invalid-field", "fail", "one JSON object"},
		"fail without kind":      {`{"action":"delay","fail":{}}`, 422, "invalid-field", "fail.kind", "transient"},
		"fail of unknown kind":   {`{"action":"delay","fail":{"kind":"explode"}}`, 422, "invalid-field", "fail.kind", "explode"},
		"fail count zero":        {`{"action":"delay","fail":{"kind":"transient","count":0}}`, 422, "invalid-field", "fail.count", "1 to 1000"},
		"fail with more fields":  {`{"action":"delay","fail":{"kind":"panic","when":1}}`, 422, "invalid-field", "fail.when", "unknown field"},
		"one byte too large":     {large(task.MaxRequestBytes + 1), 413, "body-too-large", "", "262144"},
		"1 MiB":                  {large(1 << 20), 413, "body-too-large", "", "262144"},
		"1 MiB of no JSON":       {strings.Repeat("x", 1<<20), 413, "body-too-large", "", "262144"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publisher := &fakePublisher{}
			api := start(t, Config{Publisher: publisher, Worker: failing(errors.New("it reached the worker")), FaultInjection: true})
			for _, path := range lanes() {
				a := api.post(t, path, tc.body)
				p := a.problem(t)
				require.Equal(t, tc.status, a.status, "%s", a.body)
				require.Equal(t, tc.code, codeOf(p))
				require.Contains(t, p.Detail, tc.detail)
				require.Less(t, len(a.body), 1000, "a refused value is not repeated at length")
				if tc.field != "" {
					require.Equal(t, tc.field, p.Field)
					require.NotEmpty(t, p.Value)
					require.NotEmpty(t, p.Allowed)
				}
			}
			require.Empty(t, publisher.messages)
		})
	}
}

// large is a valid request of exactly n bytes.
func large(n int) string {
	const head, tail = `{"action":"delay","payload":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func TestGoodBodies(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for name, body := range map[string]string{
		"smallest":         `{"action":"delay"}`,
		"every field":      `{"action":"cpu","duration_ms":60000,"run":"A.b_c-1","key":"user.7","payload":null,"fail":{"kind":"transient","count":2}}`,
		"spaced":           " \n{ \"action\" : \"http\" }\r\n",
		"largest":          large(task.MaxRequestBytes),
		"nested":           `{"action":"delay","payload":` + deep + `}`,
		"escaped":          `{"\u0061ction":"\u0064elay"}`,
		"huge number":      `{"action":"delay","payload":1e400}`,
		"every character":  `{"action":"delay","payload":"<&>\u0000\u2028 \ud83d\ude00 ü"}`,
		"lone surrogate":   `{"action":"delay","payload":"\ud800"}`,
		"duration of zero": `{"action":"delay","duration_ms":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publisher := &fakePublisher{}
			api := start(t, Config{Publisher: publisher, FaultInjection: true})
			require.Equal(t, http.StatusOK, api.post(t, "/v1/sync", body).status)
			require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", body).status)

			published := publisher.only(t).Body
			m, err := task.DecodeMessage(published)
			require.NoError(t, err)
			want, err := task.DecodeRequest([]byte(body))
			require.NoError(t, err)
			if want.Payload != nil {
				var compact bytes.Buffer
				require.NoError(t, json.Compact(&compact, want.Payload))
				require.Equal(t, compact.String(), string(m.Payload))
			}
			m.Payload, want.Payload = nil, nil
			require.Equal(t, want, m.Request)
		})
	}
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for _, tc := range []struct {
		contentType, encoding string
		allowed               bool
	}{
		{"application/json", "", true},
		{"application/json", "identity", true},
		{"Application/JSON; Charset=UTF-8", "", true},
		{`application/json;charset="utf-8"`, "", true},
		{"", "", false},
		{"text/plain", "", false},
		{"application/x-www-form-urlencoded", "", false},
		{"application/json; charset=utf-16", "", false},
		{"application/json; version=1", "", false},
		{"application/json;;", "", false},
		{"application/problem+json", "", false},
		{"application/json, text/plain", "", false},
		{strings.Repeat("x", 5000), "", false},
		{"application/json", "gzip", false},
		{"application/json", "identity, gzip", false},
	} {
		for _, path := range lanes() {
			header := []string{"Content-Type", tc.contentType}
			if tc.encoding != "" {
				header = append(header, "Content-Encoding", tc.encoding)
			}
			a := api.send(t, http.MethodPost, path, strings.NewReader(`{"action":"delay"}`), header...)
			if tc.allowed {
				require.Less(t, a.status, 300, "%+v: %s", tc, a.body)
				continue
			}
			require.Equal(t, http.StatusUnsupportedMediaType, a.status, "%+v", tc)
			p := a.problem(t)
			require.Equal(t, "unsupported-media-type", codeOf(p))
			require.Contains(t, p.Detail, "allowed: ")
			require.Less(t, len(a.body), 600)
		}
	}
	t.Run("given twice", func(t *testing.T) {
		t.Parallel()
		a := api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+
			"Content-Type: application/json\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		require.Equal(t, http.StatusUnsupportedMediaType, a.status)
	})
}

func TestFaultInjectionOff(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for _, path := range lanes() {
		a := api.post(t, path, `{"action":"delay","fail":{"kind":"exit"}}`)
		require.Equal(t, http.StatusUnprocessableEntity, a.status)
		require.Equal(t, "fault-injection-off", codeOf(a.problem(t)))
	}
}

// TestLargeBody shows that a client that sends too much gets its answer, and
// that its connection then ends, whether or not it says how much it sends.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for _, path := range append(lanes(), "/unknown") {
		for name, body := range map[string]io.Reader{
			"announced": strings.NewReader(large(3 << 20)),
			"chunked":   io.MultiReader(strings.NewReader(large(3 << 20))),
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				t.Parallel()
				a := api.send(t, http.MethodPost, path, body, "Content-Type", task.ContentType)
				if path == "/unknown" {
					require.Equal(t, http.StatusNotFound, a.status)
					return
				}
				require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
				require.True(t, a.last)
			})
		}
	}
	t.Run("a client that sends all before it reads", func(t *testing.T) {
		t.Parallel()
		a := api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"Content-Length: 16777216\r\n\r\n"+large(16<<20))
		require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
	})
	t.Run("a client that asks first sends nothing", func(t *testing.T) {
		t.Parallel()
		a := api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"Expect: 100-continue\r\nContent-Length: 1048576\r\n\r\n")
		require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
	})
}

// TestUnreadableBodies speaks to the server itself, as no client library would.
func TestUnreadableBodies(t *testing.T) {
	t.Parallel()
	const head = "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, tc := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"slow":       {head + "Content-Length: 100\r\n\r\n{", 408, "slow-body"},
		"bad chunks": {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "unreadable-body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := start(t, Config{}, func(s *httptest.Server) { s.Config.ReadTimeout = 200 * time.Millisecond })
			a := api.raw(t, http.MethodPost, "/v1/async", tc.request)
			require.Equal(t, tc.status, a.status, "%s", a.body)
			require.Equal(t, tc.code, codeOf(a.problem(t)))
			require.True(t, a.last)
		})
	}
}

// FuzzRequest has any body get an answer that the description of the API
// lists, and never one that blames the gateway.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"action":"delay","duration_ms":1,"run":"r","key":"k","payload":[1,{"a":null}],"fail":{"kind":"transient","count":3}}`,
		`{"action":"delay"`, `[]`, "\xff", `{"action":"delay","duration_ms":1e9}`, "{\"\u2028\":\"<\"}",
	} {
		f.Add([]byte(seed))
	}
	publisher := &fakePublisher{}
	handler, err := New(Config{Publisher: publisher, Records: publisher, Worker: done(), IDs: newIDs(f), Outcomes: newOutcomes(), FaultInjection: true})
	require.NoError(f, err)
	description := loadSpec(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range lanes() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
			req.Header.Set("Content-Type", task.ContentType)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			require.Contains(t, []int{200, 202, 400, 413, 422}, w.Code)
			description.check(t, req, answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()})
		}
		for _, m := range publisher.messages {
			_, err := task.DecodeMessage(m.Body)
			require.NoError(t, err, "a worker reads what the gateway publishes")
		}
		publisher.messages = nil
	})
}
