{{- /* What the schema cannot tell: values that each are right and do not fit each other. */ -}}
{{- define "sluicebox.mistakes" -}}
{{- $config := include "sluicebox.config" . | fromYaml -}}
{{- range list "sources" "modules" "sinks" -}}
{{- if not (get $config .) -}}
{{- fail (printf "config.%s is missing: give `sources`, `modules` and `sinks`, or none of them for a line for each change of a pod" .) -}}
{{- end -}}
{{- end -}}
{{- $listen := toString (dig "admin" "listen" "" $config) -}}
{{- if not (has $listen (list "0.0.0.0:9420" "[::]:9420")) -}}
{{- fail (printf "config.admin.listen is `%s`, and the probes ask port 9420 of the pod: leave it out, or write \"[::]:9420\"" $listen) -}}
{{- end -}}
{{- $mounts := list "/var/lib/sluicebox" "/var/cache/sluicebox" -}}
{{- range .Values.hostMounts }}{{ $mounts = append $mounts .mountPath }}{{ end -}}
{{- range list "state-directory" "cache-directory" -}}
{{- $directory := toString (get $config .) -}}
{{- $mounted := false -}}
{{- range $mounts }}{{ if or (eq $directory .) (hasPrefix (printf "%s/" (trimSuffix "/" .)) $directory) }}{{ $mounted = true }}{{ end }}{{ end -}}
{{- if not (or $mounted (contains "${" $directory)) -}}
{{- fail (printf "config.%s is `%s`, where nothing is mounted, and the root cannot be written: leave it out, or mount a folder there by `hostMounts`" . $directory) -}}
{{- end -}}
{{- end -}}
{{- $grace := toString (default "20s" (get $config "shutdown-grace")) -}}
{{- if regexMatch "^[0-9]{1,6}[sm]$" $grace -}}
{{- $seconds := mul (int (trimSuffix "m" (trimSuffix "s" $grace))) (ternary 60 1 (hasSuffix "m" $grace)) -}}
{{- if ge $seconds (int64 .Values.terminationGracePeriodSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds is %v, which must be more than `shutdown-grace` of the configuration (%s)" .Values.terminationGracePeriodSeconds $grace) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.priorityClass.create (hasPrefix "system-" .Values.priorityClass.name) -}}
{{- fail (printf "priorityClass.name is `%s`: that is the cluster's own, so set priorityClass.create=false" .Values.priorityClass.name) -}}
{{- end -}}
{{- if and .Values.modules.image (not .Values.modules.image.reference) -}}
{{- fail "modules.image.reference is missing: give the image that has the modules, or leave `modules.image` out" -}}
{{- end -}}
{{- include "sluicebox.account-mistakes" . -}}
{{- include "sluicebox.name-mistakes" . -}}
{{- include "sluicebox.mount-mistakes" . -}}
{{- if eq .Values.mode "cluster" -}}
{{- if eq .Values.state.type "hostPath" -}}
{{- fail "state.type is `hostPath`, and with `mode: cluster` the pods change their nodes, and two of them on one node would share the folder: leave it at `emptyDir`, or `mode` at `node`" -}}
{{- end -}}
{{- include "sluicebox.cluster-mistakes" $config -}}
{{- end -}}
{{- end -}}

{{- /* As whom the pod runs: for the API server, and on its node. */ -}}
{{- define "sluicebox.account-mistakes" -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name is missing: with serviceAccount.create=false the rights would go to the account `default`, which every pod of the namespace has; name the account that is there, `default` if it is meant" -}}
{{- end -}}
{{- /* What the container says counts before what the pod says. */ -}}
{{- $container := default dict .Values.securityContext -}}
{{- $user := ternary "securityContext" "podSecurityContext" (hasKey $container "runAsUser") -}}
{{- $rule := ternary "securityContext" "podSecurityContext" (hasKey $container "runAsNonRoot") -}}
{{- $is_root := eq (toString (dig $user "runAsUser" "" .Values.AsMap)) "0" -}}
{{- if and $is_root (eq (toString (dig $rule "runAsNonRoot" "" .Values.AsMap)) "true") -}}
{{- fail (printf "%s.runAsUser is 0, which is root, and %s.runAsNonRoot is true, so that the kubelet would start no container: set %s.runAsNonRoot=false, or another user" $user $rule $rule) -}}
{{- end -}}
{{- end -}}

{{- /* Names that the chart has given already, or that stand there twice. The way to them is written as the schema's messages write it. */ -}}
{{- define "sluicebox.name-mistakes" -}}
{{- $ours := list "NODE_NAME" "NODE_IP" "POD_NAME" "POD_NAMESPACE" "POD_UID" -}}
{{- range $index, $variable := .Values.env -}}
{{- if has $variable.name $ours -}}
{{- fail (printf "at '/env/%d/name': the chart itself sets `%s`, to what the API server knows of the pod: use it as it is, or give the variable another name" $index $variable.name) -}}
{{- end -}}
{{- end -}}
{{- range $index, $port := .Values.ports -}}
{{- if eq $port.name "admin" -}}
{{- fail (printf "at '/ports/%d/name': `admin` is the port of probes and metrics, which is always there: give this one another name" $index) -}}
{{- end -}}
{{- if eq (int $port.containerPort) 9420 -}}
{{- fail (printf "at '/ports/%d/containerPort': 9420 is the port of probes and metrics, which is always there: take another one, here and in the sink" $index) -}}
{{- end -}}
{{- end -}}
{{- range $label, $value := .Values.podLabels -}}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component") -}}
{{- fail (printf "at '/podLabels': the chart itself sets `%s`, and finds its pods by it: give the label another name" $label) -}}
{{- end -}}
{{- end -}}
{{- range $list := list "env" "ports" "hostMounts" -}}
{{- $seen := list -}}
{{- range $index, $item := get $.Values $list -}}
{{- if has $item.name $seen -}}
{{- fail (printf "at '/%s/%d/name': `%s` stands there twice: give each a name of its own" $list $index $item.name) -}}
{{- end -}}
{{- $seen = append $seen $item.name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Two things that would be mounted at one place, or over the program. */ -}}
{{- define "sluicebox.mount-mistakes" -}}
{{- $taken := dict "/etc/sluicebox" "the configuration" "/var/lib/sluicebox" "the state" "/var/cache/sluicebox" "the compiled modules" -}}
{{- if .Values.modules.configMap }}{{ $taken = set $taken "/etc/sluicebox-modules" "modules.configMap" }}{{ end -}}
{{- if .Values.modules.image }}{{ $taken = set $taken "/modules" "modules.image" }}{{ end -}}
{{- if .Values.cgroups }}{{ $taken = set $taken "/host/sys/fs/cgroup" "cgroups" }}{{ end -}}
{{- range $list := list "hostMounts" "secretMounts" -}}
{{- range $index, $mount := get $.Values $list -}}
{{- $path := clean $mount.mountPath -}}
{{- if has $path (list "/" "/etc") -}}
{{- fail (printf "at '/%s/%d/mountPath': `%s` would hide what the image and the chart have there: mount it elsewhere, such as at /host" $list $index $path) -}}
{{- end -}}
{{- if hasKey $taken $path -}}
{{- fail (printf "at '/%s/%d/mountPath': `%s` is where %s is mounted: mount it elsewhere" $list $index $path (get $taken $path)) -}}
{{- end -}}
{{- $taken = set $taken $path (printf "%s[%d]" $list $index) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* In a Deployment, what is told of one node is told of the one that the pod happens to be on, and by each pod. */ -}}
{{- define "sluicebox.cluster-mistakes" -}}
{{- $elected := false -}}
{{- range $name, $module := .modules }}{{ if eq (toString (dig "scope" "" (default dict $module))) "cluster" }}{{ $elected = true }}{{ end }}{{ end -}}
{{- /* Such a module has watches of its own, whatever the scope of these two. */ -}}
{{- $excused := ternary (list "pods" "nodes") list $elected -}}
{{- $cure := "write `scope: cluster`, or leave `mode` at `node`" -}}
{{- range $name := list "pods" "nodes" "scrape" "prometheus" -}}
{{- if hasKey $.sources $name -}}
{{- $scope := toString (dig "scope" (ternary "cluster" "node" (eq $name "prometheus")) (default dict (get $.sources $name))) -}}
{{- if eq $scope "cluster" -}}
{{- $elected = true -}}
{{- else if not (has $name $excused) -}}
{{- fail (printf "config.sources.%s has `scope: %s`, and with `mode: cluster` one collector works for the whole cluster: %s" $name $scope $cure) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $elected -}}
{{- fail (printf "nothing in `config` has `scope: cluster`, so that with `mode: cluster` each of the replicas would do all of it: %s" $cure) -}}
{{- end -}}
{{- end -}}
