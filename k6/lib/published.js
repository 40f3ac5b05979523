// Figures of the published experiment, a Flask gateway in front of a Go worker, for comparison in the charts.

/** What the published run was: reference figures are shown only beside runs that ask the same. */
const conditions = { task_ms: 1000, vus: 100, action: 'delay' };

/**
 * The figures that were given, each a range [lowest, highest]: times in milliseconds, rates a second, drops as shares.
 * A figure given for the whole sweep stands under `every`. Asynchronous p95 had one outlier of 64 ms at a rate that
 * is not named.
 */
const figures = {
  avg: { sync: { 400: [1000, 1000] }, async: { every: [2, 4] } },
  p95: { async: { every: [2, 5] } },
  throughput: {
    sync: {
      100: [100, 100], 150: [100, 100], 200: [100, 100], 250: [100, 100], 300: [100, 100], 350: [100, 100], 400: [100, 100],
    },
    async: { 400: [400, 400] },
  },
  drop: { sync: { 100: [0.0297, 0.0297], 150: [0.34, 0.34], 400: [0.75, 0.75] }, async: { 400: [0, 0] } },
};

const rates = { lowest: 50, highest: 400, step: 50 };

/**
 * The published range of a measure (`avg`, `p95`, `throughput`, `drop`) for a step of a run with these settings. It is
 * null where none was given, and where the run asked something else than the published one, so that nothing false
 * stands side by side.
 */
export function publishedRange(settings, measure, step) {
  const comparable = Object.keys(conditions).every((name) => settings[name] === conditions[name]);
  const given = (figures[measure] || {})[step.lane];
  if (!comparable || given === undefined || !measuredRate(step.rps)) {
    return null;
  }
  return given[step.rps] || given.every || null;
}

/** Whether any figure of a run has a published one beside it. */
export function anyPublished({ settings, steps }) {
  return Object.keys(figures).some((measure) => steps.some((step) => publishedRange(settings, measure, step) !== null));
}

function measuredRate(rps) {
  return rps >= rates.lowest && rps <= rates.highest && rps % rates.step === 0;
}
