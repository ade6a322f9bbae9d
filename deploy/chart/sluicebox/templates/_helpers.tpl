{{- define "sluicebox.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluicebox.selector" -}}
app.kubernetes.io/name: sluicebox
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluicebox.labels" -}}
{{ include "sluicebox.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sluicebox.account" -}}
{{- default (include "sluicebox.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sluicebox.priority" -}}
{{- default (ternary (include "sluicebox.name" .) "" .Values.priorityClass.create) .Values.priorityClass.name -}}
{{- end -}}

{{- define "sluicebox.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "sluicebox.defaults" -}}
admin: {listen: "0.0.0.0:9420"}
log: {format: json}
memory: {queues: 64MiB}
compiler: {memory: 160MiB}
reload: {kubernetes-events: {{ .Values.rbac.events }}}
# One for each release, so that two of them in a namespace do not choose among each other.
lease: {name: {{ include "sluicebox.name" . }}}
state-directory: /var/lib/sluicebox/state
cache-directory: /var/cache/sluicebox/modules
{{- end -}}

{{- define "sluicebox.example" -}}
sources:
  pods: {scope: {{ .Values.mode }}}
modules:
  lines: {use: json-lines, settings: {fields: compact}, to: [terminal]}
sinks:
  terminal: {stdout: {}}
{{- end -}}

{{- define "sluicebox.config" -}}
{{- $said := .Values.config -}}
{{- $config := include "sluicebox.defaults" . | fromYaml -}}
{{- if not (or $said.sources $said.modules $said.sinks) -}}
{{- $config = merge $config (include "sluicebox.example" . | fromYaml) -}}
{{- end -}}
{{ mergeOverwrite $config $said | toYaml }}
{{- end -}}

{{- define "sluicebox.env" -}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: NODE_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Where a pod of this release may run, and with what its image is pulled. */ -}}
{{- define "sluicebox.placing" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- if eq .Values.mode "node" }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sluicebox.pod" -}}
metadata:
  labels:
    {{- include "sluicebox.selector" . | nindent 4 }}
    app.kubernetes.io/component: {{ .Values.mode }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    kubectl.kubernetes.io/default-container: sluicebox
    # Sources and sinks change with a restart only.
    checksum/config: {{ include "sluicebox.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "sluicebox.account" . }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  {{- if .Values.hostPID }}
  hostPID: true
  {{- end }}
  {{- if eq .Values.mode "node" }}
  {{- with include "sluicebox.priority" . }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- end }}
  {{- with include "sluicebox.placing" . | trim }}{{ . | nindent 2 }}{{ end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext: {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: sluicebox
      image: {{ include "sluicebox.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run, /etc/sluicebox/sluicebox.yaml]
      env: {{- include "sluicebox.env" . | nindent 8 }}
      ports:
        - {name: admin, containerPort: 9420, protocol: TCP}
        {{- with .Values.ports }}{{ toYaml . | nindent 8 }}{{ end }}
      # The first start compiles the modules, at the lowest priority: it may take a while on a busy node.
      startupProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        timeoutSeconds: 3
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext: {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/sluicebox, readOnly: true}
        - {name: state, mountPath: /var/lib/sluicebox}
        - {name: cache, mountPath: /var/cache/sluicebox}
        {{- if .Values.modules.configMap }}
        - {name: modules, mountPath: /etc/sluicebox-modules, readOnly: true}
        {{- end }}
        {{- if .Values.modules.image }}
        - {name: module-image, mountPath: /modules, readOnly: true}
        {{- end }}
        {{- if .Values.cgroups }}
        - {name: cgroups, mountPath: /host/sys/fs/cgroup, readOnly: true, mountPropagation: HostToContainer}
        {{- end }}
        {{- range $index, $mount := .Values.hostMounts }}
        - {name: {{ printf "host-%s" $mount.name }}, mountPath: {{ $mount.mountPath | quote }}, readOnly: {{ ne (toString $mount.readOnly) "false" }}}
        {{- end }}
        {{- range $index, $secret := .Values.secretMounts }}
        - {name: {{ printf "secret-%d" $index }}, mountPath: {{ $secret.mountPath | quote }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "sluicebox.name" . }}}
    - name: state
      {{- if eq .Values.state.type "hostPath" }}
      hostPath: {path: {{ .Values.state.hostPath | quote }}, type: DirectoryOrCreate}
      {{- else }}
      emptyDir: {sizeLimit: {{ .Values.state.sizeLimit }}}
      {{- end }}
    - name: cache
      emptyDir: {sizeLimit: 256Mi}
    {{- with .Values.modules.configMap }}
    - name: modules
      configMap: {name: {{ . }}}
    {{- end }}
    {{- with .Values.modules.image }}
    - name: module-image
      image: {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- if .Values.cgroups }}
    - name: cgroups
      hostPath: {path: /sys/fs/cgroup, type: Directory}
    {{- end }}
    {{- range $index, $mount := .Values.hostMounts }}
    - name: {{ printf "host-%s" $mount.name }}
      hostPath: {path: {{ $mount.hostPath | quote }}, type: {{ default "DirectoryOrCreate" $mount.type }}}
    {{- end }}
    {{- range $index, $secret := .Values.secretMounts }}
    - name: {{ printf "secret-%d" $index }}
      secret: {secretName: {{ $secret.name }}}
    {{- end }}
{{- end -}}
