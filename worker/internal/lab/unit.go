package lab

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Unit is how the numbers of a quantity are written for people.
type Unit int

// The units.
const (
	Count     Unit = iota // 17,500
	PerSecond             // 17,500/s
	PerMinute             // 200/min
	Seconds               // 2.3 ms, of seconds
	Bytes                 // 12.4 MiB, of bytes
	Share                 // 75 %, of 0.75
	Times                 // 1.47 ×
)

// Format writes a value, or a dash where there is none.
func (u Unit) Format(v Value) string {
	switch {
	case v.Words != "":
		return v.Words
	case !v.known:
		return "–"
	case v.Low == v.High:
		return u.format(v.Low)
	case math.IsInf(v.High, 1):
		return "at least " + u.format(v.Low)
	case math.IsInf(v.Low, -1):
		return "at most " + u.format(v.High)
	default:
		low, high := u.format(v.Low), u.format(v.High)
		if at := strings.LastIndexAny(low, " /"); at > 0 && strings.HasSuffix(high, low[at:]) {
			low = low[:at] // the unit once
		}
		return low + " to " + high
	}
}

func (u Unit) format(v float64) string {
	switch u {
	case PerSecond:
		return decimal(v) + "/s"
	case PerMinute:
		return decimal(v) + "/min"
	case Seconds:
		return duration(v)
	case Bytes:
		return size(v)
	case Share:
		return decimal(100*v) + " %"
	case Times:
		return decimal(v) + " ×"
	default:
		return decimal(v)
	}
}

// decimal writes three digits, or all before the point, in groups of three.
func decimal(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 0
	if magnitude := math.Abs(v); magnitude < 100 && v != math.Trunc(v) {
		digits = max(0, 2-int(math.Floor(math.Log10(magnitude))))
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

func duration(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return decimal(seconds*1e6) + " µs"
	case d < time.Second:
		return decimal(seconds*1e3) + " ms"
	default:
		return decimal(seconds) + " s"
	}
}

func size(bytes float64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	i := 0
	for math.Abs(bytes) >= 1024 && i < len(units)-1 {
		bytes /= 1024
		i++
	}
	return decimal(bytes) + " " + units[i]
}
