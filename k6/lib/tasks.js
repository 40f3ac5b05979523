// What a step sends and how its answers are judged.

import { lanes } from './lanes.js';

/** The id under which one step's tasks are booked. It is kept within the gateway's 64 characters by settings.js. */
export function stepRun(run, step) {
  return `${run}.${step.name}`;
}

/** The request of a step. All requests of a step are alike, so that a VU builds it once. */
export function stepRequest(run, step, settings) {
  const lane = lanes[step.lane];
  const task = { action: settings.action, duration_ms: settings.taskMs, run: stepRun(run, step) };
  if (settings.payloadBytes > 0) {
    task.payload = 'x'.repeat(settings.payloadBytes);
  }
  return {
    url: settings.gatewayUrl + lane.path,
    body: JSON.stringify(task),
    headers: Object.assign({ 'Content-Type': 'application/json' }, lane.headers),
  };
}

/**
 * Judges an answer: `ok`, or one of the failure classes of steps.js. A status of 0 stands for no answer at all. A
 * success whose body is not what the lane promises is no success.
 */
export function judge(laneName, status, body) {
  const lane = lanes[laneName];
  if (lane.statuses.includes(status)) {
    return accepted(lane, body) ? 'ok' : '2xx';
  }
  if (status === 429 || status === 503) {
    return 'refused';
  }
  return status >= 200 && status < 600 ? `${Math.floor(status / 100)}xx` : 'none';
}

function accepted(lane, body) {
  try {
    return lane.accepts(JSON.parse(body)) === true;
  } catch {
    return false;
  }
}
