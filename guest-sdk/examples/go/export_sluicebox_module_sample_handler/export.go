package export_sluicebox_module_sample_handler

import "wit_component/lines"

var Metrics = lines.Metrics
var Handle = lines.HandleTick
