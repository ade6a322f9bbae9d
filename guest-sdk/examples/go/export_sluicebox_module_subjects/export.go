package export_sluicebox_module_subjects

import "wit_component/lines"

var Define = lines.Define
var Forget = lines.Forget
