package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

const wantObject = "one JSON object"

// DecodeRequest reads a client's request. It refuses unknown, repeated and
// ill-typed fields, values out of range, trailing data and invalid UTF-8 with
// a *SyntaxError or a *FieldError. The payload is a part of body and not a
// copy of it.
func DecodeRequest(body []byte) (Request, error) {
	var r Request
	if err := decodeObject("", body, r.setField); err != nil {
		return Request{}, err
	}
	if err := r.requireAction(); err != nil {
		return Request{}, err
	}
	return r, nil
}

// DecodeMessage reads a message as strictly as DecodeRequest reads a request.
func DecodeMessage(body []byte) (Message, error) {
	if len(body) > MaxMessageBytes {
		return Message{}, fieldError("body", fmt.Sprintf("%d bytes", len(body)), fmt.Sprintf("at most %d bytes", MaxMessageBytes))
	}
	var m Message
	if err := decodeObject("", body, m.setField); err != nil {
		return Message{}, err
	}
	if m.ID == "" {
		return Message{}, fieldError("id", "none", allowedName)
	}
	if m.AcceptedAt.IsZero() {
		return Message{}, fieldError("accepted_at", "none", allowedTime)
	}
	if err := m.requireAction(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// Encode is the inverse of DecodeMessage.
func (m Message) Encode() ([]byte, error) {
	body, err := encode(m)
	if err != nil {
		return nil, fmt.Errorf("encode task %s: %w", m.ID, err)
	}
	return body, nil
}

// allowedName and allowedTime say what a name and a time have to look like.
const (
	allowedName = "1 to 64 of A-Z a-z 0-9 . _ -"
	allowedTime = "a time of RFC 3339, such as 2006-01-02T15:04:05.999Z"
)

func (m *Message) setField(name string, raw json.RawMessage) error {
	switch name {
	case "id":
		return decodeName(name, raw, &m.ID)
	case "accepted_at":
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return fieldError(name, string(raw), allowedTime)
		}
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || at.IsZero() {
			return fieldError(name, string(raw), allowedTime)
		}
		m.AcceptedAt = at
		return nil
	default:
		return m.Request.setField(name, raw)
	}
}

func (r *Request) setField(name string, raw json.RawMessage) error {
	switch name {
	case "action":
		return decodeEnum(name, raw, Actions(), &r.Action)
	case "duration_ms":
		r.DurationMS = new(int)
		return decodeInt(name, raw, 0, MaxDurationMS, r.DurationMS)
	case "run":
		return decodeName(name, raw, &r.Run)
	case "key":
		return decodeName(name, raw, &r.Key)
	case "payload":
		r.Payload = raw
		return nil
	case "fail":
		r.Fail = &Fail{}
		return r.Fail.decode(raw)
	default:
		return fieldError(name, "an unknown field", "action, duration_ms, run, key, payload, fail")
	}
}

func (r *Request) requireAction() error {
	if r.Action == "" {
		return fieldError("action", "none", join(Actions()))
	}
	return nil
}

func (f *Fail) decode(raw json.RawMessage) error {
	err := decodeObject("fail", raw, func(name string, raw json.RawMessage) error {
		switch name {
		case "kind":
			return decodeEnum("fail.kind", raw, FailKinds(), &f.Kind)
		case "count":
			return decodeInt("fail.count", raw, 1, MaxFailCount, &f.Count)
		default:
			return fieldError("fail."+name, "an unknown field", "kind, count")
		}
	})
	if err != nil {
		return err
	}
	if f.Kind == "" {
		return fieldError("fail.kind", "none", join(FailKinds()))
	}
	if f.Count != 0 && f.Kind != FailTransient {
		return fieldError("fail.count", fmt.Sprint(f.Count), "a count with kind transient only")
	}
	return nil
}

// decodeObject hands each member of a JSON object to set, as a part of data. The standard
// decoder would let repeated names, other capitals and trailing data pass.
func decodeObject(field string, data []byte, set func(name string, raw json.RawMessage) error) error {
	if !utf8.Valid(data) {
		return &SyntaxError{Reason: "not valid UTF-8"}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil {
		return syntaxError(err)
	} else if tok != json.Delim('{') {
		if field == "" {
			return &SyntaxError{Reason: "the body is not " + wantObject}
		}
		return fieldError(field, string(data), wantObject)
	}
	seen := make(map[string]struct{}, 8)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return syntaxError(err)
		}
		name, _ := tok.(string) // the decoder lets no other token be a member's name
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return syntaxError(err)
		}
		// Not value, which is a copy: a worker holds a thousand payloads and their bodies.
		end := int(dec.InputOffset())
		raw := json.RawMessage(data[end-len(value) : end : end])
		if _, repeated := seen[name]; repeated {
			return fieldError(name, "a repeated field", "each field once")
		}
		seen[name] = struct{}{}
		if err := set(name, raw); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return syntaxError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &SyntaxError{Reason: "data after the JSON object"}
	}
	return nil
}

func syntaxError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &SyntaxError{Reason: "unexpected end of input"}
	}
	return &SyntaxError{Reason: Truncate(err.Error(), maxShownValue)}
}

func decodeInt(field string, raw json.RawMessage, low, high int, into *int) error {
	if string(raw) == "null" || json.Unmarshal(raw, into) != nil || *into < low || *into > high {
		return fieldError(field, string(raw), fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return nil
}

func decodeName(field string, raw json.RawMessage, into *string) error {
	if json.Unmarshal(raw, into) != nil || !ValidName(*into) {
		return fieldError(field, string(raw), allowedName)
	}
	return nil
}

func decodeEnum[T ~string](field string, raw json.RawMessage, allowed []T, into *T) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		for _, a := range allowed {
			if s == string(a) {
				*into = a
				return nil
			}
		}
	}
	return fieldError(field, string(raw), join(allowed))
}

func join[T ~string](values []T) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}
