package lines

import (
	pods "wit_component/sluicebox_module_pod_handler"
	types "wit_component/sluicebox_module_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

var changes = [...]string{"listed", "added", "modified", "deleted"}
var phases = [...]string{"pending", "running", "succeeded", "failed", "unknown"}

type podLine struct {
	Time      uint64            `json:"time"`
	Change    string            `json:"change"`
	Namespace string            `json:"namespace"`
	Pod       string            `json:"pod"`
	Phase     *string           `json:"phase"`
	Node      *string           `json:"node"`
	Images    []string          `json:"images"`
	Labels    map[string]string `json:"labels"`
}

// HandlePods shapes a batch.
func HandlePods(events []pods.PodEvent) wit.Result[types.Entries, string] {
	var messages packed
	for _, event := range events {
		told := event.Previous.IsSome() && event.Previous.Some().Phase == event.Pod.Phase
		if !wants(event.Pod.Namespace) || told && event.Change != types.Change_Deleted {
			continue
		}
		line := podLine{
			Time:      event.ObservedAtUnixNanos / nanos,
			Change:    changes[event.Change],
			Namespace: event.Pod.Namespace,
			Pod:       event.Pod.Name,
			Images:    make([]string, 0, len(event.Pod.Containers)),
			Labels:    make(map[string]string, len(event.Pod.Labels)),
		}
		if event.Pod.Phase.IsSome() {
			line.Phase = &phases[event.Pod.Phase.Some()]
		}
		if event.Pod.NodeName.IsSome() {
			node := event.Pod.NodeName.Some()
			line.Node = &node
		}
		for _, container := range event.Pod.Containers {
			line.Images = append(line.Images, container.Image)
		}
		for _, label := range event.Pod.Labels {
			line.Labels[label.F0] = label.F1
		}
		messages.push(event.Pod.Uid, line)
	}
	return messages.entries()
}
