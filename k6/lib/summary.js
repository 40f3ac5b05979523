// From what k6 measured to the numbers that the report, the table and the files show. The shape is that of
// summary.json, which k6/README.md describes; a change that breaks its readers raises `schema`.

import { stepBooks } from './books.js';
import { findBreak } from './breakpoint.js';
import { compare } from './compare.js';
import { headline } from './headline.js';
import { findings, passes } from './findings.js';
import { predict, workersOf } from './prediction.js';
import { failureClasses, stepMetrics } from './steps.js';
import { stepRun } from './tasks.js';

/**
 * Builds the summary of a run from k6's end-of-test data. `against` is the run that it is compared with, and by how much it
 * may be worse, `{ baseline, tolerance }`; null for none.
 *
 * Steps that a stopped run did not reach are left out; the one it was stopped in is measured over the time it had.
 */
export function summarise(data, settings, plan, env, now, against = null) {
  const { run, startedAt, k6 } = data.setup_data;
  const ran = data.state.testRunDurationMs / 1000;
  const steps = plan.map((step) => measureStep(data.metrics, step, run, ran)).filter((step) => step !== null);
  const workers = workersOf(env);
  addBooks(steps, data.metrics, plan, settings);
  addPredictions(steps, plan, settings, workers);
  const summary = {
    schema: 1,
    run,
    started_at: startedAt,
    finished_at: now.toISOString(),
    passed: true,
    complete: steps.length === plan.length && steps.every((step) => step.complete),
    headline: '',
    findings: [],
    settings: describeSettings(settings, plan),
    environment: describeEnvironment(k6, env, workers),
    breakpoint: settings.breakpoint ? findBreak(steps) : null,
    comparison: null,
    steps,
  };
  if (against !== null) {
    summary.comparison = compare(against.baseline, summary, against.tolerance);
  }
  summary.headline = headline(summary);
  summary.findings = findings(summary);
  summary.passed = passes(summary.findings);
  return summary;
}

/** What the run took place in, as far as whoever started k6 said so. */
function describeEnvironment(k6, env, workers) {
  return {
    k6,
    commit: env.COMMIT || null,
    host_cpus: number(env.HOST_CPUS),
    cpu_model: env.HOST_CPU_MODEL || null,
    memory_bytes: number(env.HOST_MEMORY_BYTES),
    os: env.HOST_OS || null,
    go: env.GO_VERSION || null,
    rabbitmq: env.RABBITMQ_VERSION || null,
    publish_strategy: env.GATEWAY_STRATEGY || null,
    workers,
  };
}

function number(text) {
  return text ? Number(text) : null;
}

/** The settings as they took effect, without what the environment says about the run. */
function describeSettings(settings, plan) {
  return {
    preset: settings.preset,
    lanes: settings.lanes,
    rates_rps: settings.rates,
    step_seconds: settings.duration,
    gap_seconds: settings.gap,
    vus: settings.autoVUs ? 'auto' : settings.vus,
    vus_preallocated: settings.autoVUs ? 'auto' : settings.vusPre,
    action: settings.action,
    task_ms: settings.taskMs,
    payload_bytes: settings.payloadBytes,
    gateway_url: settings.gatewayUrl,
    books: settings.books,
    books_timeout_seconds: settings.booksTimeout,
    planned_steps: plan.length,
  };
}

/** The numbers of one step, or null where the run ended before it sent anything. */
function measureStep(metrics, step, run, ran) {
  const names = stepMetrics(step);
  const counted = (name) => (metrics[name] === undefined ? 0 : metrics[name].values.count);
  const sent = counted(names.sent);
  const answered = counted(names.iterations);
  const dropped = counted(names.dropped);
  const failed = counted(names.failed);
  if (sent + dropped === 0) {
    return null;
  }
  const seconds = Math.min(step.seconds, ran - step.startsAt);
  const ok = answered - failed;
  const unanswered = sent - answered;
  const complete = seconds === step.seconds;
  return {
    name: step.name,
    lane: step.lane,
    rps: step.rps,
    run: stepRun(run, step),
    starts_at_seconds: step.startsAt,
    seconds: round(seconds),
    complete,
    vus: step.vus,
    sent,
    answered,
    ok,
    unanswered,
    dropped,
    throughput_rps: round(answered / seconds),
    goodput_rps: round(ok / seconds),
    drop_share: ratio(dropped, answered + dropped),
    predicted_drop_share: step.predictedDrop === null ? null : ratio(step.predictedDrop, 1),
    // Requests in flight when the whole run is stopped did not fail.
    error_share: complete ? ratio(failed + unanswered, sent) : ratio(failed, answered),
    latency_ms: latency(metrics[names.latency]),
    failures: failures(names, counted),
  };
}

/** Adds their books to the measured steps. */
function addBooks(steps, metrics, plan, settings) {
  steps.forEach((step, i) => {
    const planned = plan.find(({ name }) => name === step.name);
    const { accepted, unknown } = stepMetrics(planned);
    const counted = (name) => (metrics[name] === undefined ? 0 : metrics[name].values.count);
    step.books = stepBooks(metrics, planned, {
      accepted: counted(accepted),
      unknown: counted(unknown) + step.unanswered,
      disturbs: i < steps.length - 1,
      gap: settings.gap,
    });
  });
}

/** Adds what theory expects of their queue to the measured steps; null where it expects nothing. */
function addPredictions(steps, plan, settings, workers) {
  for (const step of steps) {
    const planned = plan.find(({ name }) => name === step.name);
    step.prediction = step.books === null ? null : predict(planned, settings, workers);
  }
}

/** Times of the answers with an expected status; null where there was none, for k6 would report zeros. */
function latency(metric) {
  if (metric === undefined || metric.values.count === 0) {
    return { avg: null, p50: null, p95: null, p99: null, max: null };
  }
  const { avg, med, max } = metric.values;
  return {
    avg: round(avg),
    p50: round(med),
    p95: round(metric.values['p(95)']),
    p99: round(metric.values['p(99)']),
    max: round(max),
  };
}

function failures(names, counted) {
  const all = {};
  for (const kind of failureClasses) {
    all[kind] = counted(names.failures[kind]);
  }
  return all;
}

/** A share with six decimals, so that 1 in 100,000 is still seen. */
function ratio(part, whole) {
  return whole === 0 ? 0 : Math.round((part / whole) * 1e6) / 1e6;
}

/** Rounds to a thousandth: a microsecond where the unit is a millisecond. */
function round(value) {
  return Math.round(value * 1000) / 1000;
}
