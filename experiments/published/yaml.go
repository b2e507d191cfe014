package published

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxTokens bounds the words and signs of a file. The time that goccy/go-yaml
// takes grows with the square of the depth: 64 KiB of "[" would take a minute.
const maxTokens = 2048

// How many characters of a wrong text, and of goccy/go-yaml's messages, an error
// shows.
const (
	maxQuoted  = 40
	maxMessage = 120
)

// node is a value of a YAML file with the place that errors name. Reading nodes,
// and not into a struct, is what lets every error say where, what and what instead.
type node struct {
	file string
	path string // keys from the top, "settings.batch_size"; "" at the top
	ast  ast.Node
}

// entry is a key of a mapping and its value.
type entry struct {
	key   string
	at    *token.Position // of the key
	value node
}

// parseYAML reads a file of one mapping.
func parseYAML(file string, text []byte) (node, error) {
	n := node{file: file}
	if len(text) > MaxFileBytes {
		return n, &Error{File: file, Text: fmt.Sprintf("found more than %d bytes, expected an experiment's file of at most that", MaxFileBytes)}
	}
	content := strings.TrimPrefix(string(text), "\ufeff") // editors on Windows put it there
	if err := checkCharacters(file, content); err != nil {
		return n, err
	}
	tokens := lexer.Tokenize(content)
	if len(tokens) > maxTokens {
		return n, &Error{File: file, Text: fmt.Sprintf("found %d words and signs, expected at most %d", len(tokens), maxTokens)}
	}
	// Duplicate keys are found below, for one form of all messages.
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return n, syntaxError(file, err)
	}
	for i, document := range tree.Docs {
		switch {
		case document.Body == nil:
		case n.ast == nil && i == 0:
			n.ast = document.Body
		default:
			second := node{file: file, ast: document.Body}
			return n, second.errorf("found a second document, expected one")
		}
	}
	if n.ast == nil {
		return n, &Error{File: file, Text: "found an empty file, expected an experiment with at least a name"}
	}
	return n, nil
}

// checkCharacters refuses what no text file holds and no terminal should be sent.
func checkCharacters(file, content string) error {
	line, column := 1, 1
	for i, r := range content {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(content[i:]); size == 1 {
				return &Error{File: file, Line: line, Column: column, Text: fmt.Sprintf("found the byte 0x%02x, expected UTF-8", content[i])}
			}
		}
		if unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r) {
			return &Error{File: file, Line: line, Column: column, Text: fmt.Sprintf("found the control character %U, expected text", r)}
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

// syntaxError is goccy/go-yaml's error on one line. It may quote all that follows
// in the file, so it is shortened.
func syntaxError(file string, err error) error {
	e, message := &Error{File: file}, err.Error()
	var located yaml.Error
	if errors.As(err, &located) {
		message = located.GetMessage()
		if t := located.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, t.Position.Column
		}
	}
	e.Text = "found what is not YAML: " + shorten(strings.Join(strings.Fields(message), " "), maxMessage)
	return e
}

// position is where the value begins, nil if that is not known.
func (n node) position() *token.Position {
	at := n.ast
	switch value := at.(type) {
	case *ast.MappingNode:
		// The token of a mapping in block style is the first colon, not the first key.
		if !value.IsFlowStyle && len(value.Values) > 0 {
			at = value.Values[0].Key
		}
	case *ast.MappingValueNode:
		at = value.Key
	}
	if at == nil || at.GetToken() == nil {
		return nil
	}
	return at.GetToken().Position
}

// errorf is an error at the value, after its path.
func (n node) errorf(format string, values ...any) *Error {
	return n.errorAt(n.position(), format, values...)
}

// errorAt is an error at another place in the file, after n's path.
func (n node) errorAt(at *token.Position, format string, values ...any) *Error {
	e := &Error{File: n.file, Text: fmt.Sprintf(format, values...)}
	if n.path != "" {
		e.Text = n.path + ": " + e.Text
	}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	return e
}

// found says what the value is, for errors.
func (n node) found() string {
	switch value := n.ast.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which experiments do without"
	case *ast.TagNode:
		return "a tag, which experiments do without"
	case *ast.StringNode:
		if _, ok := n.plain(); ok && number.MatchString(value.Value) {
			return shorten(value.Value, maxQuoted)
		}
		return quote(value.Value)
	case *ast.LiteralNode:
		return quote(value.Value.Value)
	default:
		return shorten(n.ast.GetToken().Value, maxQuoted)
	}
}

func shorten(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

func quote(text string) string { return strconv.Quote(shorten(text, maxQuoted)) }

// mapping returns the entries in the order of the file, each key one of known and
// there at most once. advice is for keys that are not known but tempting; it may be
// nil.
func (n node) mapping(known []string, advice map[string]string) ([]entry, error) {
	var values []*ast.MappingValueNode
	switch value := n.ast.(type) {
	case *ast.MappingNode:
		values = value.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{value}
	default:
		return nil, n.errorf("found %s, expected a mapping of %s", n.found(), strings.Join(known, ", "))
	}
	var entries []entry
	lines := map[string]int{}
	for _, value := range values {
		key, ok := value.Key.(*ast.StringNode)
		if !ok {
			odd := node{file: n.file, path: n.path, ast: value.Key}
			return nil, odd.errorf("found %s as a key, expected one of %s", odd.found(), strings.Join(known, ", "))
		}
		at := key.GetToken().Position
		if !slices.Contains(known, key.Value) {
			err := n.errorAt(at, "found the key %s, expected one of %s", quote(key.Value), strings.Join(known, ", "))
			if err.Advice = advice[key.Value]; err.Advice == "" {
				err.Advice = didYouMean(key.Value, known)
			}
			return nil, err
		}
		if line, twice := lines[key.Value]; twice {
			return nil, n.errorAt(at, "found the key %q a second time, expected it only on line %d", key.Value, line)
		}
		lines[key.Value] = at.Line
		entries = append(entries, entry{key.Value, at, node{n.file, join(n.path, key.Value), value.Value}})
	}
	return entries, nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// list returns the elements, which keep the path of the list.
func (n node) list(of string) ([]node, error) {
	sequence, ok := n.ast.(*ast.SequenceNode)
	if !ok {
		return nil, n.errorf("found %s, expected a list of %s", n.found(), of)
	}
	elements := make([]node, len(sequence.Values))
	for i, value := range sequence.Values {
		elements[i] = node{n.file, n.path, value}
	}
	return elements, nil
}

// text is a text on one line. Line breaks of a block count as spaces.
func (n node) text() (string, error) {
	var text string
	switch value := n.ast.(type) {
	case *ast.StringNode:
		text = value.Value
	case *ast.LiteralNode:
		text = value.Value.Value
	default:
		return "", n.errorf("found %s, expected a text", n.found())
	}
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "", n.errorf("found an empty text, expected some")
	}
	// An escape such as "\e" gets past checkCharacters.
	for _, r := range text {
		if unicode.IsControl(r) {
			return "", n.errorf("found the control character %U, expected text", r)
		}
	}
	return text, nil
}

// Numbers are those of config.json, with a sign or without digits before the point
// for the writer's ease. YAML's other forms (0x10, 010, 1_000, .inf) are refused:
// readers disagree on them.
var (
	number = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
	whole  = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
)

// plain is the text of a scalar without quotes. goccy/go-yaml takes some numbers,
// such as 1e-3, for texts, so the kind of the node does not tell.
func (n node) plain() (string, bool) {
	switch value := n.ast.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return value.GetToken().Value, true
	case *ast.StringNode:
		return value.Value, value.GetToken().Type == token.StringType
	default:
		return "", false
	}
}

// number is a finite number.
func (n node) number() (float64, error) {
	if text, ok := n.plain(); ok && number.MatchString(text) {
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			return value, nil
		}
	}
	return 0, n.errorf("found %s, expected a number", n.found())
}

// whole is a whole number.
func (n node) whole() (int, error) {
	if text, ok := n.plain(); ok && whole.MatchString(text) {
		if value, err := strconv.Atoi(text); err == nil {
			return value, nil
		}
	}
	return 0, n.errorf("found %s, expected a whole number", n.found())
}

// truth is true or false.
func (n node) truth() (bool, error) {
	if value, ok := n.ast.(*ast.BoolNode); ok {
		return value.Value, nil
	}
	return false, n.errorf("found %s, expected true or false", n.found())
}
