// Reading what an earlier run left: its summary.json.

import { laneNames } from './lanes.js';

/** The fields that came later than schema 1 did, as they are where an earlier version wrote the file. */
const laterComparison = { lacking: [], held: null };
const laterEnvironment = { cpu_model: null, memory_bytes: null, os: null, workers: null };
const laterStep = { prediction: null };

/** Reads a summary. Returns `{ summary, problem }`: what is wrong with the text is in the problem, which names its file. */
export function readSummary(text, file) {
  const bad = (why) => ({ summary: null, problem: `${file}: ${why}` });
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return bad('this is no JSON');
  }
  if (found === null || found.schema !== 1 || !Array.isArray(found.steps)) {
    return bad('this is no summary.json of a sweep, or of a version that this one does not know');
  }
  const unknown = [...new Set(found.steps.map(({ lane }) => lane))].filter((lane) => !laneNames.includes(lane));
  if (unknown.length > 0) {
    return bad(`this is of a version that knows other lanes than this one: ${unknown.join(', ')}`);
  }
  const environment = { ...laterEnvironment, ...found.environment };
  const steps = found.steps.map((step) => ({ ...laterStep, ...step }));
  const comparison = found.comparison ? { ...laterComparison, ...found.comparison } : null;
  return { summary: { ...found, comparison, environment, steps }, problem: '' };
}
