package tensorboard

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is one record of an event file, which is a TFRecord file: its length and its
// bytes, each with a checksum.
func frame(event []byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	file = binary.LittleEndian.AppendUint32(file, checksum(file))
	file = append(file, event...)
	return binary.LittleEndian.AppendUint32(file, checksum(event))
}

// checksum is that of TFRecord files, which mask CRC-32C.
func checksum(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// message is a protocol buffer message under construction.
type message []byte

func (m message) number(field protowire.Number, x uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), x)
}

func (m message) double(field protowire.Number, x float64) message {
	return protowire.AppendFixed64(protowire.AppendTag(m, field, protowire.Fixed64Type), math.Float64bits(x))
}

func (m message) float(field protowire.Number, x float32) message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(x))
}

func (m message) text(field protowire.Number, x string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), x)
}

func (m message) message(field protowire.Number, x message) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), x)
}

// The fields of an Event that hold what it says.
const (
	versionField = 3
	summaryField = 5
	sessionField = 7
)

// fileVersion is what the first event of a file says.
const fileVersion = "brain.Event:2"

// newSession is the SessionLog with the status START.
var newSession = message(nil).number(1, 1)

// event is an Event at a step, without what it says.
func event(seconds float64, step int) message {
	return message(nil).double(1, seconds).number(2, uint64(step))
}

// summary is a Summary of one value, whose tag is field 1.
func summary(value message) message { return message(nil).message(1, value) }

// scalar is a Value that is drawn in the chart of its tag.
func scalar(tag string, x float64) message { return message(nil).text(1, tag).float(2, float32(x)) }

// picture is a Value that is a PNG image.
func picture(tag string, width, height int, png []byte) message {
	const rgba = 4
	image := message(nil).number(1, uint64(height)).number(2, uint64(width)).number(3, rgba).message(4, png)
	return message(nil).text(1, tag).message(4, image)
}

// The status of a session that ended.
const (
	statusSuccess = 1
	statusFailure = 2
)

// sessionStart is the Value that says the settings of a run and when it began.
func sessionStart(settings map[string]message, seconds float64) message {
	start := message(nil).double(5, seconds)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		start = start.message(1, message(nil).text(1, name).message(2, settings[name]))
	}
	return hyperparameters("session_start_info", message(nil).message(3, start))
}

// sessionEnd is the Value that says how a run ended, and when.
func sessionEnd(status uint64, seconds float64) message {
	return hyperparameters("session_end_info", message(nil).message(4, message(nil).number(1, status).double(2, seconds)))
}

// hyperparameters is a Value of TensorBoard's plugin of that name. What it says is in its
// metadata; its tensor is empty.
func hyperparameters(kind string, data message) message {
	const float32Type = 1
	plugin := message(nil).text(1, "hparams").message(2, data)
	tensor := message(nil).number(1, float32Type).message(2, message(nil).message(2, nil))
	return message(nil).text(1, "_hparams_/"+kind).message(9, message(nil).message(1, plugin)).message(8, tensor)
}
