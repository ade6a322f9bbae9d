package export_sluicebox_module_pod_handler

import "wit_component/lines"

var Handle = lines.HandlePods
