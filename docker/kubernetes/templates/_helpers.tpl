{{/* The services: name to port. */}}
{{- define "ports" -}}
{orchestrator: 8000, catalog: 8001, payments: 8002, inventory: 8003, purchases: 8004}
{{- end }}

{{/* The metadata of an object. Arguments: root, name. */}}
{{- define "metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  app.kubernetes.io/name: {{ .name }}
  {{- include "labels" .root | nindent 2 }}
{{- end }}

{{- define "labels" -}}
app.kubernetes.io/part-of: ecommerce-saga
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The labels of a pod. Arguments: root, name. */}}
{{- define "podLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: ecommerce-saga
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The variables that are not secret. The database URL has no user: each service logs in with its own role. */}}
{{- define "settings" -}}
{{- $ports := include "ports" . | fromYaml -}}
{{- $own := dict "ECOMMERCE_PROFILE" "production"
    "ECOMMERCE__DATABASE__URL" .Values.database.url
    "ECOMMERCE__DATABASE__POOL_SIZE" (toString .Values.database.poolSize)
    "ECOMMERCE__INVENTORY__INITIAL_STOCK" (printf "%d" (int64 .Values.initialStock))
    "ECOMMERCE__HTTP__TRUSTED_PROXIES" (join "," .Values.trustedProxies)
    "ECOMMERCE__TELEMETRY__OTLP_ENDPOINT" .Values.otlpEndpoint -}}
{{- range $name, $port := $ports -}}
{{- $_ := set $own (printf "ECOMMERCE__SERVICES__%s__URL" (upper $name)) (printf "http://%s:%d" $name (int $port)) -}}
{{- end -}}
{{- range $name, $value := mergeOverwrite $own .Values.settings }}
{{ $name }}: {{ $value | toString | quote }}
{{- end -}}
{{- end }}

{{/* Seconds that a stop may take: the announcement, running sagas, requests in flight, and the rest. Arguments: root, own
     settings of the service. */}}
{{- define "grace" -}}
{{- $settings := mergeOverwrite (include "settings" .root | fromYaml) (.own | default dict) -}}
{{- $total := 14000 -}}
{{- range $name, $default := dict "ECOMMERCE__HTTP__DRAIN_DELAY_MS" "6000" "ECOMMERCE__ORCHESTRATOR__GRACE_MS" "20000" "ECOMMERCE__HTTP__DRAIN_GRACE_MS" "20000" -}}
{{- $total = add $total (get $settings $name | default $default | int) -}}
{{- end -}}
{{- div (add $total 999) 1000 -}}
{{- end }}

{{/* The fields of every pod. */}}
{{- define "pod" -}}
automountServiceAccountToken: false
# Kubernetes would add variables for every service; the program does not use them.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # Secrets are files of this group.
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* The fields of every container. */}}
{{- define "container" -}}
image: {{ include "image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
envFrom:
  - configMapRef:
      name: ecommerce-settings
{{- end }}

{{/* The resources of a command that runs once. */}}
{{- define "commandResources" -}}
requests: {cpu: 50m, memory: 32Mi}
limits: {memory: 256Mi}
{{- end }}

{{/* A Secret as a folder of files. Arguments: volume, secret, items (key to file). */}}
{{- define "secretVolume" -}}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret }}
    # 0440, for the group of the pod.
    defaultMode: 288
    items:
      {{- range $key, $file := .items }}
      - key: {{ $key }}
        path: {{ $file }}
      {{- end }}
{{- end }}

{{/* The tokens of participants of your own. */}}
{{- define "participantVariables" -}}
{{- range .Values.secrets.participantTokens }}
- name: ECOMMERCE__PARTICIPANTS__{{ upper . }}__TOKEN_FILE
  value: /run/secrets/participants/{{ . }}
{{- end }}
{{- end }}

{{- define "participantMount" -}}
{{- if .Values.secrets.participantTokens -}}
- name: participants
  mountPath: /run/secrets/participants
  readOnly: true
{{- end }}
{{- end }}

{{- define "participantVolume" -}}
{{- if .Values.secrets.participantTokens -}}
{{- $items := dict -}}
{{- range .Values.secrets.participantTokens }}{{ $_ := set $items . . }}{{ end }}
{{- include "secretVolume" (dict "volume" "participants" "secret" .Values.secrets.participants "items" $items) }}
{{- end }}
{{- end }}

{{- define "caMount" -}}
{{- if .Values.database.caConfigMap -}}
- name: database-ca
  mountPath: /etc/database
  readOnly: true
{{- end }}
{{- end }}

{{- define "caVolume" -}}
{{- with .Values.database.caConfigMap -}}
- name: database-ca
  configMap:
    name: {{ . }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- end }}

{{/* The variable of a service's password. Arguments: name, file. */}}
{{- define "passwordVariable" -}}
- name: ECOMMERCE__SERVICES__{{ upper .name }}__DATABASE_PASSWORD_FILE
  value: /run/secrets/database-passwords/{{ .name }}
{{- end }}

{{/* The pod of a command on all databases. Arguments: root, name, args, services whose passwords it has, administrator,
     operator and participants: whether it has the secrets of those. */}}
{{- define "commandPod" -}}
{{- $root := .root -}}
restartPolicy: {{ .restartPolicy }}
{{ include "pod" $root }}
containers:
  - name: {{ .name }}
    args: {{ toJson .args }}
    {{- include "container" $root | nindent 4 }}
    env:
      {{- range .services }}
      {{- include "passwordVariable" (dict "name" .) | nindent 6 }}
      {{- end }}
      {{- if .administrator }}
      # Instead of the settings' URLs, which name no user.
      - name: ECOMMERCE__DATABASE__URL
        value: ""
      - name: ECOMMERCE__DATABASE__URL_FILE
        value: /run/secrets/administrator/database-url
      {{- range $root.Values.ownServers }}
      - name: ECOMMERCE__SERVICES__{{ upper . }}__DATABASE_URL
        value: ""
      - name: ECOMMERCE__SERVICES__{{ upper . }}__DATABASE_URL_FILE
        value: /run/secrets/administrator/{{ . }}-database-url
      {{- end }}
      {{- end }}
      {{- if .participants }}
      {{- with include "participantVariables" $root }}{{ . | trim | nindent 6 }}{{ end }}
      {{- end }}
      {{- if .operator }}
      - name: ECOMMERCE_TARGET
        value: http://orchestrator:8000
      - name: ECOMMERCE_API_TOKEN_FILE
        value: /run/secrets/tokens/operator-token
      # A new pod is refused until the network policies of the services know its address, often a second or two.
      - name: ECOMMERCE_CONNECT_PATIENCE
        value: "20"
      {{- end }}
    volumeMounts:
      - name: database-passwords
        mountPath: /run/secrets/database-passwords
        readOnly: true
      {{- if .administrator }}
      - name: administrator
        mountPath: /run/secrets/administrator
        readOnly: true
      {{- end }}
      {{- if .operator }}
      - name: tokens
        mountPath: /run/secrets/tokens
        readOnly: true
      {{- end }}
      {{- if .participants }}
      {{- with include "participantMount" $root }}{{ . | nindent 6 }}{{ end }}
      {{- end }}
      {{- with include "caMount" $root }}{{ . | nindent 6 }}{{ end }}
    resources:
      {{- include "commandResources" $root | nindent 6 }}
volumes:
  {{- $items := dict -}}
  {{- range .services }}{{ $_ := set $items . . }}{{ end }}
  {{- include "secretVolume" (dict "volume" "database-passwords" "secret" $root.Values.secrets.databasePasswords "items" $items) | nindent 2 }}
  {{- if .administrator }}
  {{- $items := dict "database-url" "database-url" -}}
  {{- range $root.Values.ownServers }}{{ $key := printf "%s-database-url" . }}{{ $_ := set $items $key $key }}{{ end }}
  {{- include "secretVolume" (dict "volume" "administrator" "secret" $root.Values.secrets.administrator "items" $items) | nindent 2 }}
  {{- end }}
  {{- if .operator }}
  {{- include "secretVolume" (dict "volume" "tokens" "secret" $root.Values.secrets.tokens "items" (dict "operator-token" "operator-token")) | nindent 2 }}
  {{- end }}
  {{- if .participants }}
  {{- with include "participantVolume" $root }}{{ . | nindent 2 }}{{ end }}
  {{- end }}
  {{- with include "caVolume" $root }}{{ . | nindent 2 }}{{ end }}
{{- end }}

{{/* The first parts of a service's public paths; "" is the root. Never metrics and debug, of the orchestrator never api and
     calls. */}}
{{- define "public" -}}
{{- $all := list "docs" "health" "openapi.json" -}}
{{- $own := dict "orchestrator" (list "" "saga" "sagas" "ui") "catalog" (list "journal" "products") "payments" (list "journal" "payments")
    "inventory" (list "inventory" "journal") "purchases" (list "journal" "purchases") -}}
{{- concat (get $own .) $all | toJson -}}
{{- end }}
