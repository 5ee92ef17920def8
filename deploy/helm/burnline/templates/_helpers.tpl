{{- define "burnline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What never changes: selectors and volumeClaimTemplates hold it. */}}
{{- define "burnline.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "burnline.labels" -}}
{{ include "burnline.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "burnline.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "burnline.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "burnline.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "burnline.slosConfigMap" -}}
{{- default (printf "%s-slos" (include "burnline.fullname" .)) .Values.slos.existingConfigMap -}}
{{- end -}}

{{/* The key of own prices in their ConfigMap, whose end tells their format; empty for none. */}}
{{- define "burnline.pricesKey" -}}
{{- if .Values.prices.file }}prices.yaml
{{- else if .Values.prices.existingConfigMap.name }}{{ .Values.prices.existingConfigMap.key }}
{{- end -}}
{{- end -}}

{{/*
HOST:PORT of every process, in their order. These full names stand in each pod's own /etc/hosts, so that a process can
listen on its own before the DNS knows it.
*/}}
{{- define "burnline.addresses" -}}
{{- $name := include "burnline.fullname" . -}}
{{- $hosts := list -}}
{{- range $i := until (int .Values.cluster.replicas) -}}
{{- $host := printf "%s-%d.%s-pods.%s.svc.%s:%d" $name $i $name $.Release.Namespace $.Values.cluster.domain (int $.Values.cluster.port) -}}
{{- $hosts = append $hosts $host -}}
{{- end -}}
{{- join ";" $hosts -}}
{{- end -}}

{{/* The options of `burnline run`. */}}
{{- define "burnline.args" -}}
- run
- --slos=/etc/burnline/slos
- --data-dir=/var/lib/burnline/data
- --http=0.0.0.0:9464
- --workers={{ .Values.workers }}
- --shards={{ .Values.shards }}
- --snapshot-interval={{ .Values.snapshotInterval }}
- --series-limit={{ int .Values.seriesLimit }}
- --log-level={{ .Values.logLevel }}
- --log-format=json
{{- if eq .Values.mode "single" }}
- --otlp-grpc=0.0.0.0:4317
- --otlp-http=0.0.0.0:4318
- --spool-size={{ .Values.spoolSize }}
{{- if .Values.slos.watch }}
- --watch
{{- end }}
{{- else }}
- --recovery-partitions={{ .Values.cluster.recoveryPartitions }}
- {{ printf "--kafka-brokers=%s" (join "," .Values.kafka.brokers) | quote }}
{{- range .Values.kafka.traces }}
- --kafka-traces={{ . }}
{{- end }}
{{- range .Values.kafka.metrics }}
- --kafka-metrics={{ . }}
{{- end }}
{{- range .Values.kafka.logs }}
- --kafka-logs={{ . }}
{{- end }}
- --kafka-encoding={{ .Values.kafka.encoding }}
- --kafka-from={{ .Values.kafka.from }}
{{- with .Values.kafka.undecodable }}
- --kafka-undecodable={{ . }}
{{- end }}
{{- with .Values.kafka.alerts }}
- --kafka-alerts={{ . }}
{{- end }}
{{- if .Values.kafka.existingSecret.name }}
- --kafka-config=/etc/burnline/secrets/kafka.properties
{{- end }}
{{- end }}
{{- range .Values.alertmanagers }}
- {{ printf "--alertmanager=%s" . | quote }}
{{- end }}
{{- with .Values.externalUrl }}
- {{ printf "--external-url=%s" . | quote }}
{{- end }}
{{- range .Values.remoteWrite.urls }}
- {{ printf "--remote-write=%s" . | quote }}
{{- end }}
{{- range $name, $value := .Values.remoteWrite.labels }}
- {{ printf "--remote-write-label=%s=%s" $name $value | quote }}
{{- end }}
{{- with include "burnline.pricesKey" . }}
- --prices=/etc/burnline/prices/{{ . }}
{{- end }}
{{- if .Values.auth.otlpTokens.name }}
- --otlp-token-file=/etc/burnline/secrets/otlp-tokens
{{- end }}
{{- if .Values.auth.httpTokens.name }}
- --http-token-file=/etc/burnline/secrets/http-tokens
{{- end }}
{{- if .Values.auth.alertmanagerToken.name }}
- --alertmanager-token-file=/etc/burnline/secrets/alertmanager-token
{{- end }}
{{- if .Values.auth.alertmanagerCa.name }}
- --alertmanager-ca=/etc/burnline/secrets/alertmanager-ca.crt
{{- end }}
{{- if .Values.auth.remoteWriteToken.name }}
- --remote-write-token-file=/etc/burnline/secrets/remote-write-token
{{- end }}
{{- if .Values.tls.existingSecret }}
- --tls-cert=/etc/burnline/secrets/tls.crt
- --tls-key=/etc/burnline/secrets/tls.key
{{- end }}
{{- if .Values.tls.clientCa.name }}
- --tls-client-ca=/etc/burnline/secrets/client-ca.crt
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The sources of /etc/burnline/secrets; empty for none. */}}
{{- define "burnline.secrets" -}}
{{- $files := list
  (list .Values.auth.otlpTokens "otlp-tokens")
  (list .Values.auth.httpTokens "http-tokens")
  (list .Values.auth.alertmanagerToken "alertmanager-token")
  (list .Values.auth.alertmanagerCa "alertmanager-ca.crt")
  (list .Values.auth.remoteWriteToken "remote-write-token")
  (list .Values.tls.clientCa "client-ca.crt")
-}}
{{- if eq .Values.mode "cluster" -}}
{{- $files = append $files (list .Values.kafka.existingSecret "kafka.properties") -}}
{{- end -}}
{{- with .Values.tls.existingSecret }}
- secret:
    name: {{ . }}
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
{{- end }}
{{- range $files }}
{{- $from := first . }}
{{- if $from.name }}
- secret:
    name: {{ $from.name }}
    items:
      - {key: {{ $from.key | quote }}, path: {{ last . }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "burnline.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ if .root.Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end }}
{{- end -}}

{{- define "burnline.closed" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
