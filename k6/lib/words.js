// The explanations beside the charts. Every sentence is computed from the run's own numbers and settings.

import { takesItsTime, takesOnlyItsTime } from './actions.js';
import { booksSentence } from './audit.js';
import { failureNames } from './findings.js';
import * as format from './format.js';
import { lanes } from './lanes.js';
import { highestRate } from './little.js';
import { escape, prose } from './markup.js';
import { failureClasses } from './steps.js';

/** With how many rates a table that has a column for each fits beside a chart. */
const mostRates = 10;

/** Beside the throughput chart: how far each lane followed the offered load, and what an answer stands for. */
export function throughputWords(summary) {
  const each = summary.settings.lanes.map((lane) => followed(summary, lane)).filter((text) => text !== '');
  const parted = summary.steps.some((step) => step.goodput_rps !== step.throughput_rps);
  return `<h3>What was delivered</h3>${each.length === 0 ? '' : `<p>${prose(each.join(' '))}</p>`}` +
    '<p>Throughput is the answers of a step divided by its seconds. The time of a request runs from sending it to its ' +
    'whole answer, over the answers with the status that the lane expects.</p>' +
    (parted ? '<p>The pale part of a bar is answers that were refusals or errors.</p>' : '') +
    (summary.settings.lanes.some((lane) => !lanes[lane].waits)
      ? '<p><b>Accepted is not done.</b> An answer of the async lane says that the task is safely in the queue; when its work is done ' +
        'is in the books.</p>' : '');
}

function followed(summary, lane) {
  const own = summary.steps.filter((step) => step.lane === lane && step.complete);
  if (own.length === 0) {
    return '';
  }
  const behind = own.find((step) => step.goodput_rps < step.rps * 0.99);
  if (behind === undefined) {
    return `The ${lane} lane followed the offered load at every rate, up to ${format.rate(own[own.length - 1].rps)}.`;
  }
  const best = Math.max(...own.map((step) => step.goodput_rps));
  return `The ${lane} lane fell behind at ${format.rate(behind.rps)} and never gave more than ${format.rate(best)}.`;
}

/** Beside the drop chart: why k6 drops requests, what Little's law predicts for this run, and what was measured. */
export function dropWords(summary) {
  const waiting = summary.settings.lanes.filter((lane) => lanes[lane].waits);
  const others = summary.settings.lanes.filter((lane) => !lanes[lane].waits);
  return '<h3>Why requests are dropped</h3>' +
    '<p>A dropped request is one that k6 could not send because every virtual user (VU) still waited for an earlier ' +
    'answer. It is the load generator that is full: no request is lost on its way.</p>' +
    waitingWords(summary, waiting).map((text) => `<p>${prose(text)}</p>`).join('') +
    others.map((lane) => `<p>${prose(otherLane(summary, lane))}</p>`).join('') +
    predictions(summary);
}

/** What the law says of the lanes that wait for the work; nothing where nobody knows for how long. */
function waitingWords(summary, waiting) {
  const { action } = summary.settings;
  if (!takesItsTime(action)) {
    return waiting.length === 0 ? [] : [`Nothing is predicted for ${format.listing(waiting)}: how long tasks of the action ${action} keep a VU ` +
      'does not follow from the settings.'];
  }
  return holdTimes(summary, waiting).map(([seconds, held]) => waitingLanes(summary, seconds, held));
}

/** Lanes that hold a VU equally long, which the law treats alike: `[[seconds, lanes]]`. */
function holdTimes({ settings }, waiting) {
  const times = new Map();
  for (const lane of waiting) {
    const seconds = lanes[lane].holdSeconds(settings.task_ms / 1000);
    times.set(seconds, [...(times.get(seconds) || []), lane]);
  }
  return [...times];
}

function waitingLanes({ settings }, seconds, held) {
  const law = 'By Little’s law, busy VUs = requests a second × seconds each';
  const named = held.length === 1 ? `the ${held[0]} lane` : `each of the lanes ${format.listing(held)}`;
  if (settings.vus === 'auto') {
    return `${law}: this run gave every step of ${named} the VUs that its rate × ${seconds} s needs and a margin, ` +
      'so that a drop would be the system’s own.';
  }
  const cap = highestRate(settings.vus, seconds);
  if (cap === Infinity) {
    return `${law}: a task that takes no time keeps no VU of ${named} busy.`;
  }
  return `${law}, so ${format.count(settings.vus)} VUs held ${seconds} s each send at most ${format.rate(cap)} down ${named}, ` +
    `whatever the server can do. Above that the predicted drop is 1 − ${format.count(settings.vus)} ÷ (rate × ${seconds} s)` +
    `${settings.rates_rps.includes(cap) ? '; at exactly that rate nothing is to spare, and a few per cent go as well' : ''}.`;
}

/** For a lane that does not wait, the same law with the time that was measured says how far its VUs would reach. */
function otherLane({ settings, steps }, lane) {
  const times = steps.filter((step) => step.lane === lane && step.latency_ms.avg !== null).map((step) => step.latency_ms.avg);
  const opening = `The ${lane} lane does not wait for the work, so nothing is predicted to drop`;
  if (times.length === 0 || settings.vus === 'auto') {
    return `${opening}.`;
  }
  const slowest = Math.max(...times);
  return `${opening}: at ${format.time(slowest)} an answer, its slowest average here, the same ` +
    `${format.count(settings.vus)} VUs would carry ${format.rate(highestRate(settings.vus, slowest / 1000))}.`;
}

/** The law beside the measurement, as far as that fits beside a chart: the table of steps has both at every rate. */
function predictions({ settings, steps }) {
  const rates = [...new Set(steps.map((step) => step.rps))];
  if (rates.length > mostRates) {
    return '';
  }
  const row = (lane, title, value) => {
    const cells = rates.map((rps) => {
      const step = steps.find((candidate) => candidate.rps === rps && candidate.lane === lane);
      return `<td>${step === undefined ? '' : escape(format.percent(value(step)))}</td>`;
    });
    return `<tr><th scope="row" class="left">${escape(`${lane} ${title}`)}</th>${cells.join('')}</tr>`;
  };
  const rows = settings.lanes.map((lane) => row(lane, 'predicted', (step) => step.predicted_drop_share) +
    row(lane, 'measured', (step) => step.drop_share));
  const heads = rates.map((rps) => `<th scope="col">${format.count(rps)}</th>`);
  return `<div class="scroll" tabindex="0" role="region" aria-label="Drop rates, predicted and measured"><table><thead><tr><th scope="col" class="left">Drop rate in % at</th>${heads.join('')}</tr></thead>` +
    `<tbody>${rows.join('')}</tbody></table></div>`;
}

/** Beside the drain chart: whether all is accounted for, when the work was done, and whether the worker kept up. */
export function booksWords(summary) {
  const off = summary.steps.some(({ books }) => books !== null && ['missing', 'surplus'].includes(books.state));
  const result = booksSentence(summary) || (off ? 'The books do not balance: the findings at the top say where.' : 'Not all books could be read.');
  const times = summary.settings.lanes.filter((lane) => lanes[lane].queued).map((lane) => done(summary, lane)).filter((text) => text !== '');
  return `<h3>Accepted, and then?</h3><p>${prose(result)}</p>` +
    times.map((text) => `<p>${prose(text)}</p>`).join('') +
    '<p>A task’s time runs from its acceptance by the gateway to the end of its work, with the time it was queued. The drain ' +
    'time is how long after the last acceptance the last task was completed: about the time of one task where the worker ' +
    'keeps up, and more where the queue holds what it does not.</p>';
}

/** What an answer of a lane that does not wait is worth: when the work was done that it promised. Empty where nothing says so. */
export function doneSentence({ steps, settings }) {
  const promised = steps.filter(({ lane, complete, books }) => !lanes[lane].waits && complete && books !== null && books.completed > 0);
  if (promised.length === 0) {
    return '';
  }
  const { lane, books } = promised[promised.length - 1];
  return `Accepted is not done: the median task of ${lane} was done ${format.time(books.end_to_end_ms.p50)} after it was accepted` +
    `${settings.task_ms > 0 && takesOnlyItsTime(settings.action) ? `, of which the work is ${format.exactTime(settings.task_ms)}` : ''}.`;
}

/** What the highest rate of a lane was worth: when it was answered, and when the work was done. */
function done({ steps }, lane) {
  const own = steps.filter((step) => step.lane === lane && step.complete && step.books !== null && step.books.completed > 0);
  if (own.length === 0) {
    return '';
  }
  const top = own[own.length - 1];
  const { p50, p95 } = top.books.end_to_end_ms;
  const answered = top.latency_ms.p50 === null ? '' : `the median answer took ${format.time(top.latency_ms.p50)}, `;
  return `${lane} at ${format.rate(top.rps)}: ${answered}the median task was done ${format.time(p50)} after it was accepted, ` +
    `95 % within ${format.time(p95)}; the last one was done ${format.time(top.books.drain_ms)} after the last acceptance.`;
}

/** Beside the error chart: which answers they were, step by step. */
export function errorWords({ steps }) {
  const failed = steps.filter((step) => step.error_share > 0);
  const kinds = failureClasses.filter((kind) => failed.some((step) => step.failures[kind] > 0));
  const late = failed.some((step) => step.complete && step.unanswered > 0);
  const heads = [...kinds.map((kind) => failureNames[kind]), ...(late ? ['unanswered'] : [])];
  const rows = failed.map((step) => {
    const cells = [...kinds.map((kind) => step.failures[kind]), ...(late ? [step.complete ? step.unanswered : 0] : [])];
    return `<tr><td class="left">${escape(step.name)}</td><td>${escape(format.share(step.error_share))}</td>` +
      `${cells.map((cell) => `<td>${format.count(cell)}</td>`).join('')}</tr>`;
  });
  return '<h3>What failed</h3><p>An error is any request sent that did not get the answer its lane promises. Refusals are ' +
    'errors here, although they are how the system protects itself.</p><div class="scroll" tabindex="0" role="region" aria-label="What failed"><table><thead><tr>' +
    '<th scope="col" class="left">step</th><th scope="col">error rate</th>' +
    heads.map((head) => `<th scope="col">${escape(head)}</th>`).join('') +
    `</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}
