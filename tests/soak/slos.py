"""The SLOs of the stream: every kind of SLI and window, with and without groups."""

SLOS = """\
apiVersion: burnline/v1
service: soak
slos:
  - name: availability
    objective: 99
    sli: &errors
      spans: {total: '{ span.gen_ai.operation.name = "chat" }', bad: '{ status = error }'}
    by: [span.gen_ai.request.model, span.tenant.id]
    alerts:
      tiers: &tiers
        page-fast: {short: 5m, long: 10m, factor: 50}
        page-slow: off
        ticket-fast: {short: 5m, long: 10m, factor: 35}
        ticket-slow: off
  - name: low-target
    objective: 60
    window: 10m
    sli: *errors
    by: [span.tenant.id]
    evidence: none
    alerts:
      tiers:
        page-fast: {short: 5m, long: 10m, factor: 14.4}
        page-slow: off
        ticket-fast: {short: 5m, long: 10m, factor: 1.25}
        ticket-slow: off
  - name: every
    objective: 10
    window: 7d
    sli: {spans: {total: '{ }', good: '{ status != error }'}}
  - name: sliced
    objective: 95
    window: 1d
    sli:
      spans: {total: '{ }', bad: '{ status = error }'}
      slices: {length: 10s, target: 90}
    evidence: none    # else it hovers while there are but a few slices
  - name: today
    objective: 60
    window: {calendar: day, time_zone: Asia/Kathmandu}
    sli: *errors
    by: [span.gen_ai.request.model]
  - name: requests
    objective: 99
    sli:
      metrics: {total: llm_requests_total, bad: 'llm_requests_total{status="error"}'}
    by: [model]
    alerts: {tiers: *tiers}
  - name: deltas
    objective: 60
    window: 1h
    sli:
      metrics: {total: llm_deltas_total, good: 'llm_deltas_total{status="ok"}'}
    by: [model]
  - name: slow
    objective: 30
    sli:
      metrics: {histogram: llm_duration, above: 2.5}
    by: [model]
  - name: slow-cumulative
    objective: 30
    sli:
      metrics: {histogram: llm_waiting, above: 2.5}
"""
