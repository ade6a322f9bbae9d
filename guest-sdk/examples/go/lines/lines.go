// Package lines is the module: of one namespace, or of all, a JSON line when the phase of a pod changes, and one for what each container uses.
package lines

import (
	"encoding/json"
	"fmt"
	"strings"

	lifecycle "wit_component/sluicebox_module_lifecycle"
	log "wit_component/sluicebox_module_log"
	types "wit_component/sluicebox_module_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

const nanos = 1_000_000_000

var settings struct {
	Channel   *string `json:"channel"`
	Namespace *string `json:"namespace"`
}

// Start is called once in each instance.
func Start(text string, _ lifecycle.Context) wit.Result[wit.Unit, string] {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		// Go says `unknown field "x"`.
		words := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "json: "), `"`, "`")
		return wit.Err[wit.Unit](fmt.Sprintf("%s, expected `channel` or `namespace`", words))
	}
	all := "all namespaces"
	if settings.Namespace != nil {
		all = *settings.Namespace
	}
	if all == "" {
		return wit.Err[wit.Unit]("setting `namespace`: is empty: name a namespace, or leave the setting out")
	}
	log.Line(log.Level_Debug, "lines of "+all)
	return wit.Ok[wit.Unit, string](wit.Unit{})
}

func wants(namespace string) bool {
	return settings.Namespace == nil || *settings.Namespace == namespace
}

// Many messages in one text: an allocation for each would cost more than all the rest.
type packed struct {
	text strings.Builder
	ends []types.PackedEnd
}

func (messages *packed) push(key string, line any) {
	end := types.PackedEnd{ChannelEnd: uint32(messages.text.Len())}
	messages.text.WriteString(key)
	end.KeyEnd = uint32(messages.text.Len())
	encoder := json.NewEncoder(&newlineless{&messages.text})
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		panic(err)
	}
	end.BodyEnd = uint32(messages.text.Len())
	messages.ends = append(messages.ends, end)
}

func (messages *packed) entries() wit.Result[types.Entries, string] {
	channel := wit.None[string]()
	if settings.Channel != nil {
		channel = wit.Some(*settings.Channel)
	}
	return wit.Ok[types.Entries, string](types.MakeEntriesPacked(types.PackedMessages{
		Channel: channel, Text: messages.text.String(), Ends: messages.ends,
	}))
}

// An encoder ends what it writes with a newline.
type newlineless struct{ text *strings.Builder }

func (writer *newlineless) Write(bytes []byte) (int, error) {
	writer.text.Write(bytes[:len(bytes)-1])
	return len(bytes), nil
}
