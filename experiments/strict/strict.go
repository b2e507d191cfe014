// Package strict reads YAML files that people write, and refuses whatever could mean
// something other than what its writer meant: numbers as text, values of another type,
// unknown keys, tags and aliases. Errors name the file, the line and the column.
package strict

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"epochal/dataset/regular"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/printer"
	"github.com/goccy/go-yaml/token"
)

// MaxFileBytes is the most that a file may hold; those of the post's experiments have less than 2 KiB.
const MaxFileBytes = 64 << 10

// maxTokens bounds the tokens of a file, its words and signs. The time that goccy/go-yaml
// takes grows with the square of the depth: 64 KiB of "[" would take a minute.
const maxTokens = 2048

// maxLine is how many characters of a line of its file an error shows.
const maxLine = 160

// Error is what is wrong with a file or with a name: a wrong use,
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

// Wrong is an error at a value, nil for none.
func Wrong(n ast.Node, format string, values ...any) *Error {
	e := &Error{Text: fmt.Sprintf(format, values...)}
	if block, ok := n.(*ast.MappingNode); ok && !block.IsFlowStyle && len(block.Values) > 0 {
		n = block.Values[0].Key // the token of such a mapping is its first colon
	}
	if n != nil {
		e.at = n.GetToken()
	}
	return e
}

// Unknown is an error at a name that is none of the known ones. found is a format for the name. Its advice is the
// nearest of them, if one is near.
func Unknown(n ast.Node, found, name string, known []string) *Error {
	err := Wrong(n, found+", expected one of %s", name, strings.Join(known, ", "))
	for edits := range min(len(name), max(2, len(name)/3)+1, 7) { // near takes 3 times as long for each
		for _, candidate := range known {
			if near(strings.ToLower(name), candidate, edits) {
				err.Advice = "did you mean " + candidate + "?"
				return err
			}
		}
	}
	return err
}

// near reports whether at most so many bytes must be inserted, deleted or replaced
// to turn a into b.
func near(a, b string, edits int) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	switch {
	case a == "" || b == "":
		return len(a)+len(b) <= edits
	case edits == 0:
		return false
	default:
		return near(a[1:], b, edits-1) || near(a, b[1:], edits-1) || near(a[1:], b[1:], edits-1)
	}
}

// InFile turns any error into one that names the file, and the library's into one
// that shows the place.
func InFile(file string, err error) *Error {
	var problem *Error
	var library yaml.Error
	var mismatch *yaml.TypeError
	var kind *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &problem):
	case errors.As(err, &mismatch): // its message mentions Go types
		expected := map[reflect.Kind]string{reflect.Bool: "true or false", reflect.String: "text"}[mismatch.DstType.Kind()]
		problem = &Error{Text: fmt.Sprintf("found %.40q, expected %s", mismatch.Token.Value, expected), at: mismatch.Token}
	case errors.As(err, &kind):
		problem = &Error{Text: fmt.Sprintf("found %s, expected %s", describe(kind.Actual), describe(kind.Expected)), at: kind.Token}
	case errors.As(err, &library):
		problem = &Error{Text: fmt.Sprintf("%.200s", library.GetMessage()), at: library.GetToken()}
	default:
		problem = &Error{Text: fmt.Sprintf("%.200s", err)}
	}
	problem.File = file
	return problem
}

// describe is what a writer calls a kind of value.
func describe(kind ast.NodeType) string {
	switch kind {
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.BoolType:
		return "true or false"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "fields"
	default:
		return "text"
	}
}

// Read returns the text of a file of at most MaxFileBytes, or a bit more of a longer one,
// which [Parse] refuses.
func Read(path string) ([]byte, error) {
	file, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
}

// Parse returns the only document of a file; expected says what an empty one lacks.
func Parse(text []byte, expected string) (ast.Node, error) {
	if len(text) > MaxFileBytes {
		return nil, &Error{Text: fmt.Sprintf("found more than %d bytes, expected no more than that", MaxFileBytes)}
	}
	if !utf8.Valid(text) {
		return nil, &Error{Text: "found bytes that are not UTF-8, expected text"}
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(text), "\ufeff")) // editors on Windows put it there
	if len(tokens) > maxTokens {
		return nil, &Error{Text: fmt.Sprintf("found %d YAML tokens, expected at most %d", len(tokens), maxTokens)}
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, err
	}
	documents := slices.DeleteFunc(tree.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(documents) {
	case 0:
		return nil, &Error{Text: "found an empty file, expected " + expected}
	case 1:
	default:
		return nil, Wrong(documents[1].Body, "found a second document, expected one")
	}
	body := documents[0].Body
	// Aliases can blow up a file, tags change types, and the decoder would take a key
	// without a value for the default.
	for _, kind := range []ast.NodeType{ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType} {
		if found := ast.Filter(kind, body); len(found) > 0 {
			return nil, Wrong(found[0], "found an anchor, an alias or a tag, expected a plain value")
		}
	}
	if found := ast.Filter(ast.NullType, body); len(found) > 0 {
		return nil, Wrong(found[0], "found nothing, expected a value")
	}
	return body, nil
}

// At is the value at a path such as "$.settings.epochs", nil if there is none.
func At(body ast.Node, path string) (n ast.Node) {
	if p, err := yaml.PathString(path); err == nil && body != nil {
		n, _ = p.FilterNode(body)
	}
	return n
}

// numeral is a number of config.json, with a sign or without digits before the
// point for the writer's ease. YAML's other forms (0x10, 010, 1_000, .inf) are
// refused: readers disagree on them.
var numeral = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)

// Fields returns the values of a mapping by their keys, all of them known.
func Fields(n ast.Node, known ...string) (values map[string]ast.Node, err error) {
	if err := Decode(n, &values); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			return nil, Unknown(values[key], "found the key %.40q", key, known)
		}
	}
	return values, nil
}

// Decode reads a value with the library, except for numbers: the library would take
// 3.5 for the whole number 3 and "64" for a number, and takes 1e-3 for text.
func Decode(n ast.Node, into any) error {
	var err error
	switch into := into.(type) {
	case *int:
		if *into, err = strconv.Atoi(numeral.FindString(n.String())); err != nil {
			return Wrong(n, "found %.40q, expected a whole number", n.GetToken().Value)
		}
	case *float64:
		if *into, err = strconv.ParseFloat(numeral.FindString(n.String()), 64); err != nil {
			return Wrong(n, "found %.40q, expected a number", n.GetToken().Value)
		}
	case *[]int:
		var numbers []ast.Node
		err = Decode(n, &numbers)
		*into = make([]int, len(numbers))
		for i, number := range numbers {
			err = cmp.Or(err, Decode(number, &(*into)[i]))
		}
	default:
		err = yaml.NodeToValue(n, into, yaml.Strict())
	}
	return err
}
