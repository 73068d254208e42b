{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidegate.labels" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Name and labels of an object; "suffix" is added to the name. */}}
{{- define "tidegate.metadata" -}}
name: {{ .root.Values.fullnameOverride }}{{ .suffix }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "tidegate.labels" .root | nindent 2 }}
{{- end }}

{{/* Not empty where the cluster knows the kinds of the Prometheus operator; others are not to fail for them. */}}
{{- define "tidegate.hasPrometheus" -}}
{{- if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}yes{{ end }}
{{- end }}

{{/*
Metadata of both webhook configurations. Argo CD applies them when what has a lower wave is healthy, and
removes them first; so does Helm 4, by their kind. Helm 3 may remove them last: docs/uninstall.md.
*/}}
{{- define "tidegate.webhookMetadata" -}}
{{ include "tidegate.metadata" (dict "root" . "suffix" "" "cluster" true) }}
annotations:
  # AKS otherwise rewrites the namespace selector, and whoever applies this fights it.
  admissions.enforcer/disabled: "true"
  argocd.argoproj.io/sync-wave: "1"
  {{- if eq .Values.certificates.mode "certManager" }}
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ .Values.fullnameOverride }}
  {{- end }}
{{- end }}

{{/*
One webhook: what files/webhooks.yaml says, reached through the Service. A webhook without a namespace
selector is the one for approvals: it is always asked, and nothing gets past it.
*/}}
{{- define "tidegate.webhook" -}}
{{- $values := .root.Values -}}
{{- $hook := deepCopy .hook -}}
{{- $service := dict "name" $values.fullnameOverride "namespace" .root.Release.Namespace "port" 443 -}}
{{- $client := dict "service" (merge $service $hook.clientConfig.service) -}}
{{- with $values.certificates.caBundle -}}
{{- $_ := set $client "caBundle" (b64enc .) -}}
{{- end -}}
{{- $_ := set $hook "clientConfig" $client -}}
{{- with $hook.namespaceSelector -}}
{{- $excluded := index .matchExpressions 0 -}}
{{- $names := concat $excluded.values (list $.root.Release.Namespace) $values.webhooks.excludeNamespaces -}}
{{- $_ := set $excluded "values" (uniq $names) -}}
{{- $hook = mergeOverwrite $hook $.settings -}}
{{- end -}}
{{- toYaml (list $hook) -}}
{{- end }}
