package published

import (
	"errors"
	"fmt"
	"reflect"
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
	"github.com/goccy/go-yaml/printer"
	"github.com/goccy/go-yaml/token"
)

// MaxFileBytes is the most that an experiment's file may hold; the longest of the
// embedded ones has less than 2 KiB.
const MaxFileBytes = 64 << 10

// maxTokens bounds the words and signs of a file. The time that goccy/go-yaml
// takes grows with the square of the depth: 64 KiB of "[" would take a minute.
const maxTokens = 2048

// maxLine is how many characters of a line of its file an error shows.
const maxLine = 160

// Error is what is wrong with an experiment's file or with a name: a wrong use,
// found before anything trains.
type Error struct {
	File   string // "" when the problem is in no file
	Text   string // what was found and what was expected
	Advice string // what was probably meant, "" for nothing; one line
	at     *token.Token
}

// Error is "file:line:column: text" and the lines of the file around it, with a
// caret, as far as the place is known.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Text
	case e.at == nil:
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	}
	var source printer.Printer
	text := fmt.Sprintf("%s:%d:%d: %s", e.File, e.at.Position.Line, e.at.Position.Column, e.Text)
	for line := range strings.Lines(strings.TrimRight(source.PrintErrorToken(e.at, false), " \n")) {
		text += fmt.Sprintf("\n%.*s", maxLine, strings.TrimRight(line, "\r\n"))
	}
	return text
}

// Hint returns the advice. The command prints it on a line of its own.
func (e *Error) Hint() string { return e.Advice }

// wrong is an error at a value.
func wrong(n ast.Node, format string, values ...any) *Error {
	e := &Error{Text: fmt.Sprintf(format, values...)}
	if block, ok := n.(*ast.MappingNode); ok && !block.IsFlowStyle && len(block.Values) > 0 {
		n = block.Values[0].Key // the token of such a mapping is its first colon
	}
	if n != nil {
		e.at = n.GetToken()
	}
	return e
}

// unexpected is the error for a value of another type.
func unexpected(n ast.Node, expected string) *Error {
	if _, ok := n.(ast.ScalarNode); ok {
		return wrong(n, "found %.40q, expected %s", n.GetToken().Value, expected)
	}
	return wrong(n, "found a %s, expected %s", n.Type().YAMLName(), expected)
}

// unknown is the error for a key that is none of the known ones.
func unknown(key *token.Token, known []string) *Error {
	return &Error{Text: fmt.Sprintf("found the key %.40q, expected one of %s", key.Value, strings.Join(known, ", ")),
		Advice: didYouMean(key.Value, known), at: key}
}

// parseYAML returns the only document of a file.
func parseYAML(text []byte) (ast.Node, error) {
	if len(text) > MaxFileBytes {
		return nil, &Error{Text: fmt.Sprintf("found more than %d bytes, expected an experiment's file of at most that", MaxFileBytes)}
	}
	if !utf8.Valid(text) {
		return nil, &Error{Text: "found bytes that are not UTF-8, expected text"}
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(text), "\ufeff")) // editors on Windows put it there
	if len(tokens) > maxTokens {
		return nil, &Error{Text: fmt.Sprintf("found %d words and signs, expected at most %d", len(tokens), maxTokens)}
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, document := range tree.Docs {
		switch {
		case document.Body == nil:
		case body != nil:
			return nil, wrong(document.Body, "found a second document, expected one")
		default:
			body = document.Body
		}
	}
	if body == nil {
		return nil, &Error{Text: "found an empty file, expected an experiment with at least a name"}
	}
	var refused refusal
	ast.Walk(&refused, body)
	if refused.err != nil {
		return nil, refused.err
	}
	return body, nil
}

// refusal finds what no experiment's file needs: aliases, which can blow up a
// file, tags, which change types, and keys without a value, which the decoder
// would take for the default.
type refusal struct{ err error }

func (r *refusal) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		r.err = wrong(n, "found an anchor, an alias or a tag, expected a plain value")
	case *ast.NullNode:
		r.err = wrong(n, "found nothing, expected a value")
	}
	if r.err != nil {
		return nil
	}
	return r
}

// decode is the library's strict decoding, two of whose errors get clearer words.
func decode(n ast.Node, into any) error {
	err := yaml.NodeToValue(n, into, yaml.Strict())
	var mismatch *yaml.TypeError
	var key *yaml.UnknownFieldError
	switch {
	case errors.As(err, &key):
		var known []string
		for fields := reflect.TypeOf(into).Elem(); len(known) < fields.NumField(); {
			known = append(known, fields.Field(len(known)).Tag.Get("yaml"))
		}
		return unknown(key.Token, known)
	case errors.As(err, &mismatch): // only for a bool: other scalars have their own types below
		return &Error{Text: fmt.Sprintf("found %.40q, expected true or false", mismatch.Token.Value), at: mismatch.Token}
	}
	return err
}

// text is a text on one line. Line breaks of a block count as spaces.
type text string

func (t *text) UnmarshalYAML(n ast.Node) error {
	var value string
	switch n := n.(type) {
	case *ast.StringNode:
		value = n.Value
	case *ast.LiteralNode:
		value = n.Value.Value
	default:
		return unexpected(n, "a text")
	}
	*t = text(strings.Join(strings.Fields(value), " "))
	if *t == "" {
		return wrong(n, "found an empty text, expected some")
	}
	// No terminal should be sent such.
	if i := strings.IndexFunc(string(*t), unicode.IsControl); i >= 0 {
		return wrong(n, "found the control character %U, expected text", (*t)[i])
	}
	return nil
}

// numeral is a number of config.json, with a sign or without digits before the
// point for the writer's ease. YAML's other forms (0x10, 010, 1_000, .inf) are
// refused: readers disagree on them.
var numeral = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)

// numeralOf is the text of a number, "" for anything else. goccy/go-yaml takes
// some numbers, such as 1e-3, for texts, so that the kind of the node does not tell.
func numeralOf(n ast.Node) string {
	switch t := n.GetToken(); t.Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		return ""
	default:
		return numeral.FindString(t.Value)
	}
}

// whole is a whole number. The library's own decoding would take 3.5 for 3, and
// "64" and 1e2 for numbers as well.
type whole int

func (w *whole) UnmarshalYAML(n ast.Node) error {
	value, err := strconv.Atoi(numeralOf(n))
	if err != nil {
		return unexpected(n, "a whole number")
	}
	*w = whole(value)
	return nil
}

// number is a finite number.
type number float64

func (x *number) UnmarshalYAML(n ast.Node) error {
	value, err := strconv.ParseFloat(numeralOf(n), 64)
	if err != nil {
		return unexpected(n, "a number")
	}
	*x = number(value)
	return nil
}

// eachEntry reads the entries of a mapping, whose keys are all known, in their order.
func eachEntry(n ast.Node, known []string, read func(key string, value ast.Node) error) error {
	m, ok := n.(ast.MapNode)
	if !ok {
		return unexpected(n, "a mapping of "+strings.Join(known, ", "))
	}
	for entry := m.MapRange(); entry.Next(); {
		key := entry.Key().GetToken()
		if !slices.Contains(known, key.Value) {
			return unknown(key, known)
		}
		if err := read(key.Value, entry.Value()); err != nil {
			return err
		}
	}
	return nil
}

// nodeAt is the value at a path such as "$.settings.epochs", nil if there is none.
func nodeAt(body ast.Node, path string) (n ast.Node) {
	if p, err := yaml.PathString(path); err == nil && body != nil {
		n, _ = p.FilterNode(body)
	}
	return n
}
