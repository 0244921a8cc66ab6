{{/* The labels of all objects, and of Jobs and pods. */}}
{{- define "seaworthy.labels" -}}
app.kubernetes.io/component: audit
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/name: seaworthy
seaworthy.dev/installation: {{ .Release.Name | quote }}
{{- end }}

{{/* The metadata of an object in the namespace. */}}
{{- define "seaworthy.metadata" -}}
name: {{ .Release.Name | quote }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "seaworthy.labels" . | nindent 2 }}
  {{- include "seaworthy.release" . | nindent 2 }}
{{- end }}

{{/* The labels by which Helm knows its objects. */}}
{{- define "seaworthy.release" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "seaworthy.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The files of the ConfigMap, as a map in JSON: YAML would lose a line's end. */}}
{{- define "seaworthy.files" -}}
{{- $files := deepCopy (.Values.files | default dict) }}
{{- with .Values.profileFile }}
{{- if .name }}
{{- $_ := set $files .name .content }}
{{- end }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{/* The arguments of the program, as a list. */}}
{{- define "seaworthy.arguments" -}}
{{- $arguments := list "run" }}
{{- if .Values.profileFile.name }}
{{- $arguments = append $arguments (printf "--profile=/etc/seaworthy/%s" .Values.profileFile.name) }}
{{- else }}
{{- $arguments = append $arguments (printf "--profile=%s" .Values.profile) }}
{{- end }}
{{- $arguments = append $arguments "--exit-zero" }}
{{- if ne .Values.profile "audit" }}
{{- $arguments = append $arguments (printf "--probe-image=%s" (include "seaworthy.image" .)) }}
{{- end }}
{{- if .Values.history.enabled }}
{{- $arguments = append $arguments "--history=/results" }}
{{- range .Values.history.reports }}
{{- $arguments = append $arguments (printf "--report=%s=/results/latest.%s" . .) }}
{{- end }}
{{- end }}
{{- toYaml (concat $arguments (.Values.runArgs | default list)) }}
{{- end }}
