// A run held against an earlier one, its baseline: step by step and figure by figure.

import * as format from './format.js';
import { compared } from './measures.js';

/** Fields of the settings whose values have to be alike for two runs to be the same experiment. */
const conditions = {
  step_seconds: 'DURATION', vus: 'VUS', action: 'ACTION', task_ms: 'TASK_MS', payload_bytes: 'PAYLOAD_BYTES',
};

/**
 * Compares the steps that both runs have whole. A figure is `worse` or `better` where it differs by more than the tolerance:
 * times by more than a share of the baseline's and by more than some milliseconds, rates by more than that share,
 * shares by more than some percentage points. What only one run has is neither.
 */
export function compare(baseline, summary, tolerance) {
  const pairs = summary.steps
    .map((step) => [baseline.steps.find(({ lane, rps }) => lane === step.lane && rps === step.rps), step])
    .filter(([before, now]) => before !== undefined && before.complete && now.complete);
  const steps = pairs.map(([before, now]) => ({
    name: now.name,
    lane: now.lane,
    rps: now.rps,
    figures: compared.map((measure) => difference(measure, before, now, tolerance)),
  }));
  const all = steps.flatMap(({ figures }) => figures);
  return {
    baseline: baseline.run,
    baseline_started_at: baseline.started_at,
    baseline_commit: baseline.environment.commit,
    ...tolerance,
    unlike: unlike(baseline, summary),
    lacking: baseline.steps.filter((step) => step.complete && !pairs.some(([before]) => before === step)).map(({ name }) => name),
    held: heldRates(baseline, summary),
    worse: all.filter(({ verdict }) => verdict === 'worse').length,
    better: all.filter(({ verdict }) => verdict === 'better').length,
    steps,
  };
}

/** The settings in which the runs differ, as sentences have them: `TASK_MS 500 instead of 1000`. */
function unlike(baseline, summary) {
  return Object.keys(conditions)
    .filter((name) => baseline.settings[name] !== summary.settings[name])
    .map((name) => `${conditions[name]} ${summary.settings[name]} instead of ${baseline.settings[name]}`);
}

/** The rates that two breakpoint runs of the same lane held last; null for other runs. */
function heldRates(baseline, summary) {
  const lanes = [baseline, summary].map(({ settings }) => settings.lanes[0]);
  return baseline.breakpoint === null || summary.breakpoint === null || lanes[0] !== lanes[1] ? null
    : { baseline: baseline.breakpoint.last_good_rps, value: summary.breakpoint.last_good_rps };
}

function difference(measure, before, now, tolerance) {
  const [was, is] = [before, now].map((step) => figure(measure, step));
  const found = { figure: measure.key, baseline: was, value: is, verdict: null };
  if (was === null || is === null) {
    return found;
  }
  const rise = is - was;
  if (Math.abs(rise) <= allowed(measure, was, tolerance)) {
    return { ...found, verdict: 'same' };
  }
  return { ...found, verdict: (rise > 0) === (measure.better === 'higher') ? 'better' : 'worse' };
}

/** What is compared of a measure: where it counts answers, the good ones. */
function figure(measure, step) {
  return measure.good === undefined ? measure.value(step) : measure.good(step);
}

function allowed({ kind }, was, { tolerance_share: share, tolerance_ms: ms, tolerance_points: points }) {
  return { time: Math.max(was * share, ms), rate: was * share, share: points / 100 }[kind] + 1e-9;
}

/** A difference as it reads: +12 %, or in points where shares differ. */
export function change(measure, { baseline, value }) {
  if (baseline === null || value === null) {
    return '–';
  }
  const rise = value - baseline;
  const sign = rise < 0 ? '−' : '+';
  if (measure.kind === 'share') {
    return rise === 0 ? '=' : `${sign}${(Math.abs(rise) * 100).toFixed(1)} points`;
  }
  if (rise === 0) {
    return '=';
  }
  return baseline === 0 ? `${sign}${measure.reference(Math.abs(rise))}` : `${sign}${relative(Math.abs(rise / baseline))}`;
}

/** A relative change; what is many times as much is said so. */
function relative(share) {
  return share >= 9.995 ? `${format.count(share * 100)} %` : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** The result in a sentence. */
export function comparisonSentence(comparison) {
  const { baseline, steps, worse, better } = comparison;
  if (steps.length === 0) {
    return `No step of this run is one of ${baseline}: nothing could be compared.`;
  }
  const found = [...(worse > 0 ? [`${format.plural(worse, 'figure')} worse`] : []), ...(better > 0 ? [`${format.count(better)} better`] : [])];
  return `Against ${baseline}, ${format.plural(steps.length, 'step')}: ${found.length === 0 ? 'no figure differs' : format.listing(found)} ` +
    `by more than ${toleranceWords(comparison)}.`;
}

/** The tolerance as it reads. */
export function toleranceWords({ tolerance_share: share, tolerance_ms: ms, tolerance_points: points }) {
  return `${format.plain(share * 100)} % (times: ${format.plain(ms)} ms at least; shares: ${points === 1 ? '1 percentage point' : `${format.plain(points)} percentage points`})`;
}
