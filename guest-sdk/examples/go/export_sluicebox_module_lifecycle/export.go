package export_sluicebox_module_lifecycle

import "wit_component/lines"

var Start = lines.Start
