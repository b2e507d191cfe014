package words

import "strings"

// plain are the characters that every shell leaves as they are.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%"

// Shell writes arguments as a POSIX shell reads them.
func Shell(arguments ...string) string {
	quoted := make([]string, len(arguments))
	for i, argument := range arguments {
		if argument == "" || strings.Trim(argument, plain) != "" {
			argument = "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
		}
		quoted[i] = argument
	}
	return strings.Join(quoted, " ")
}
