{{/* Labels that select pods; they never change, or upgrades would be refused. */}}
{{- define "ringside.selector" -}}
app.kubernetes.io/name: ringside
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Labels of every object: (dict "root" $ "component" "agent"). */}}
{{- define "ringside.labels" -}}
app.kubernetes.io/name: ringside
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ringside
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ringside.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* A token of one hour that is bound to the pod, as newer kubelets mount by themselves. Named here so that it is so on every
     version: without the binding the aggregator could not tell which node a push comes from. */}}
{{- define "ringside.apiToken" -}}
- name: kube-api-access
  projected:
    # Readable by the user that all containers of the pod run as.
    defaultMode: 0444
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end }}

{{- define "ringside.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities:
  drop: [ALL]
  {{- with . }}
  add:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Values that only make sense together. */}}
{{- define "ringside.check" -}}
{{- if and .Values.agent.capabilities (ne (int .Values.agent.runAsUser) 0) }}
{{- fail "agent.capabilities take effect for user 0 only: set agent.runAsUser to 0, or leave agent.capabilities empty" }}
{{- end }}
{{- if and (not .Values.aggregator.enabled) (ne .Values.agent.push.route "none") }}
{{- fail "without an aggregator nobody takes the pushes: set agent.push.route to none, or aggregator.enabled to true" }}
{{- end }}
{{- if and .Values.aggregator.tls.secretName (not .Values.aggregator.tls.caBundle) }}
{{- fail "aggregator.tls.secretName needs aggregator.tls.caBundle: the API server must know who signed that certificate" }}
{{- end }}
{{- if and .Values.aggregator.tls.secretName (gt (int .Values.aggregator.replicas) 1) }}
{{- fail "aggregator.tls.secretName wants aggregator.replicas to be 1: replicas know one another by certificates of the aggregator's own CA" }}
{{- end }}
{{- if and .Values.aggregator.tls.caBundle (not .Values.aggregator.tls.secretName) }}
{{- fail "aggregator.tls.caBundle is for the certificate of aggregator.tls.secretName; the aggregator's own CA is written by itself" }}
{{- end }}
{{- end }}
