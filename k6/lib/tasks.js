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
    return promised(lane, body) ? 'ok' : '2xx';
  }
  if (lane.late.includes(status)) {
    return 'late';
  }
  if (status === 429 || status === 503) {
    return 'refused';
  }
  return status >= 200 && status < 600 ? `${Math.floor(status / 100)}xx` : 'none';
}

function promised(lane, body) {
  try {
    return lane.accepts(JSON.parse(body)) === true;
  } catch {
    return false;
  }
}

/**
 * Says what an answer means for the books of a lane that goes through the queue: `accepted`, `refused`, or `unknown`
 * where the task may have been accepted or not, as when there is no answer at all.
 */
export function booked(status, body) {
  if (status === 200 || status === 202) {
    return 'accepted';
  }
  if ((status >= 300 && status < 500) || (status === 503 && refusedForSure(body))) {
    return 'refused';
  }
  return 'unknown';
}

/** Whether a 503 is the gateway's own and names another problem than an outcome that it does not know itself. */
function refusedForSure(body) {
  try {
    const { type } = JSON.parse(body);
    return typeof type === 'string' && !type.endsWith('outcome-unknown');
  } catch {
    return false;
  }
}
