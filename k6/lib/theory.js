// The part of the report that holds the queue against what theory expects of it.

import { takesItsTime } from './actions.js';
import { bookedSteps } from './books.js';
import * as format from './format.js';
import { prose } from './markup.js';
import { nextRate, table } from './tables.js';

/** Heading, words and table; nothing for a run without books. */
export function theory(summary) {
  if (bookedSteps(summary).length === 0) {
    return '';
  }
  const steps = summary.steps.filter(({ prediction }) => prediction !== null);
  const content = steps.length === 0 ? `<p>${prose(unknown(summary))}</p>`
    : `${words(summary, steps).map((text) => `<p>${prose(text)}</p>`).join('')}${predictions(steps)}`;
  return `<h2 id="theory">Predicted and measured: waiting in the queue</h2>
<section class="card words">${content}</section>`;
}

function unknown({ settings, environment }) {
  return environment.workers === null
    ? 'How long tasks should wait depends on how many the workers do at once, which this run was not told: `make sweep` asks the ' +
      'running workers, and WORKER_CONCURRENCY says it by hand.'
    : `Nothing is predicted of action ${settings.action}${takesItsTime(settings.action) ? ` with ${format.exactTime(settings.task_ms)} a task` : ''}: ` +
      'how long its tasks take does not follow from the settings alone.';
}

function words({ settings, environment }, steps) {
  const { concurrency } = environment.workers;
  const seconds = settings.task_ms / 1000;
  const top = steps.reduce((most, step) => (step.prediction.utilisation > most.prediction.utilisation ? step : most));
  const beyond = steps.filter(({ prediction }) => prediction.utilisation > 1);
  return [
    `${workerWords(environment.workers)}. At ${format.exactTime(settings.task_ms)} a task that is ` +
      `${format.count(concurrency)} ÷ ${format.plain(seconds)} s = ${format.count(concurrency / seconds)} tasks a second; the highest rate here, ` +
      `${format.rate(top.rps)} down ${top.lane}, needs ${format.share(top.prediction.utilisation)} of it.`,
    'Up to that, a task waits only where others happen to come together with it. The formulas for arrivals by chance say how long: ' +
      'Erlang’s (M/M/c) for tasks of varying length, about half of that (M/D/c) for tasks that are all alike, as these are. k6 sends ' +
      'at an even pace, so that less is measured where the system keeps up; the few milliseconds that are left are the way through the broker, ' +
      'which no formula knows.',
    ...(beyond.length === 0 ? [] : [
      `Beyond it no time is the last word: in ${format.listing(beyond.map(({ name }) => name))} the queue grows for as long as the load ` +
      'lasts, each second’s tasks wait longer than those before, and the drain is the time that the rest takes.']),
  ];
}

/** The workers in a sentence without its end. */
export function workerWords({ count, concurrency, executor }) {
  const at = executor === null ? '' : ` (executor ${executor})`;
  return count === 1 ? `One worker does up to ${format.plural(concurrency, 'task')} at once${at}`
    : `${format.count(count)} workers do up to ${format.plural(concurrency, 'task')} at once in all${at}`;
}

function predictions(steps) {
  const time = (title, value) => ({ title, text: (step) => format.time(value(step)) });
  const columns = [
    { title: 'rps', text: (step) => format.count(step.rps) },
    { title: 'lane', text: (step) => step.lane, left: true },
    { title: 'busy', text: ({ prediction }) => format.share(prediction.utilisation) },
    { title: 'wait M/M/c', text: ({ prediction }) => (prediction.steady ? format.time(prediction.queue_wait_varied_ms.avg) : 'grows') },
    time('expected', ({ prediction }) => prediction.queue_wait_ms.avg),
    time('measured', ({ books }) => books.queue_wait_ms.avg),
    time('done p95 expected', ({ prediction }) => prediction.end_to_end_ms.p95),
    time('measured', ({ books }) => books.end_to_end_ms.p95),
    time('drain expected', ({ prediction }) => prediction.drain_ms),
    time('measured', ({ books }) => books.drain_ms),
  ];
  return table('Waiting in the queue, predicted and measured', columns, steps, nextRate);
}
