package lines

import (
	"fmt"

	samples "wit_component/sluicebox_module_sample_handler"
	subjects "wit_component/sluicebox_module_subjects"
	types "wit_component/sluicebox_module_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Who a subject is; nil for those that no line is about.
type container struct {
	uid, namespace, pod, name string
}

var containers = map[types.SubjectId]*container{}

// None of them before the host has told which metrics there are.
var cpuUsage, memoryUsage = -1, -1

type containerLine struct {
	Time      uint64  `json:"time"`
	Namespace string  `json:"namespace"`
	Pod       string  `json:"pod"`
	Container string  `json:"container"`
	CPU       *uint64 `json:"cpu-millis,omitempty"`
	Memory    *uint64 `json:"memory-bytes,omitempty"`
}

// Define is told what there is.
func Define(defined []subjects.Subject) {
	for _, subject := range defined {
		containers[subject.Id] = nil
		if subject.Kind != subjects.SubjectKind_Container || !wants(subject.Namespace) {
			continue
		}
		known := &container{uid: subject.Uid, namespace: subject.Namespace, name: subject.Name}
		for _, attribute := range subject.Attributes {
			if attribute.F0 == "pod-name" {
				known.pod = attribute.F1
			}
		}
		containers[subject.Id] = known
	}
}

// Forget is told what has gone.
func Forget(ids []types.SubjectId) {
	for _, id := range ids {
		delete(containers, id)
	}
}

// Metrics is told what can be measured.
func Metrics(metrics []samples.Metric) {
	for _, metric := range metrics {
		switch metric.Name {
		case "cpu-usage":
			cpuUsage = int(metric.Id)
		case "memory-usage":
			memoryUsage = int(metric.Id)
		}
	}
}

// HandleTick shapes what was read at one time.
func HandleTick(tick samples.Tick) wit.Result[types.Entries, string] {
	var messages packed
	// All samples of a subject stand together.
	for first, next := 0, 0; first < len(tick.Samples); first = next {
		id := tick.Samples[first].Subject
		line := containerLine{Time: tick.ObservedAtUnixNanos / nanos}
		for next = first; next < len(tick.Samples) && tick.Samples[next].Subject == id; next++ {
			line.read(tick.Samples[next])
		}
		known, isDefined := containers[id]
		if !isDefined {
			return wit.Err[types.Entries](fmt.Sprintf("subject %d was never defined", id))
		}
		if known != nil && (line.CPU != nil || line.Memory != nil) {
			line.Namespace, line.Pod, line.Container = known.namespace, known.pod, known.name
			messages.push(known.uid, line)
		}
	}
	return messages.entries()
}

func (line *containerLine) read(sample samples.Sample) {
	reading := sample.Reading
	switch {
	case int(sample.Metric) == cpuUsage && reading.Tag() == samples.Reading_Counter && reading.Counter().Increase.IsSome():
		increase := reading.Counter().Increase.Some()
		// Thousandths of a processor, rounded down.
		millis := increase.Amount / max(increase.OverNanoseconds/1000, 1)
		line.CPU = &millis
	case int(sample.Metric) == memoryUsage && reading.Tag() == samples.Reading_Value:
		bytes := reading.Value()
		line.Memory = &bytes
	}
}
