// What a report says of the run itself: where it took place, what was set, and how to do it again.

import { takesItsTime } from './actions.js';
import * as format from './format.js';
import { lanes } from './lanes.js';
import { escape } from './markup.js';
import { workerWords } from './theory.js';

/** Machine, software and settings, and the command; what is not known is left out. */
export function facts(summary) {
  const { settings } = summary;
  return `${group('Machine', machine(summary.environment))}${group('Software', software(summary.environment))}${group('Settings', chosen(summary))}
<p class="again">Run it again: <code>${escape(command(settings))}</code></p>`;
}

/** Links to the files beside the report. */
export function files() {
  const names = { 'summary.json': 'all figures', 'steps.csv': 'a line a step', 'chart.svg': 'the charts as one picture' };
  return `<span class="files">${Object.entries(names).map(([name, title]) => `<a href="${name}" title="${title}">${name}</a>`).join('')}</span>`;
}

function group(title, entries) {
  const known = entries.filter(([, value]) => value !== null);
  const items = known.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${escape(value)}</dd></div>`);
  return items.length === 0 ? '' : `<h3>${title}</h3><dl class="facts">${items.join('')}</dl>`;
}

function machine(environment) {
  return [
    ['processor', environment.cpu_model],
    ['processors', environment.host_cpus],
    ['memory', environment.memory_bytes === null ? null : format.memory(environment.memory_bytes)],
    ['system', environment.os],
  ];
}

function software(environment) {
  return [
    ['commit', environment.commit],
    ['k6', environment.k6],
    ['Go', environment.go],
    ['RabbitMQ', environment.rabbitmq],
    ['publish strategy', environment.publish_strategy],
    ['workers', environment.workers === null ? null : workerWords(environment.workers)],
  ];
}

function chosen({ settings, started_at: started, finished_at: finished }) {
  return [
    ['preset', settings.preset],
    ['gateway', settings.gateway_url],
    ['task', takesItsTime(settings.action) ? `${settings.action}, ${format.exactTime(settings.task_ms)}` : settings.action],
    ['payload', settings.payload_bytes === 0 ? 'none' : `${format.count(settings.payload_bytes)} bytes`],
    ['VUs', settings.vus === 'auto' ? 'auto' : `${settings.vus_preallocated} at first, at most ${settings.vus}`],
    ['step and gap', `${format.span(settings.step_seconds)} and ${format.span(settings.gap_seconds)}`],
    ['started', format.moment(started)],
    ['finished', format.moment(finished)],
  ];
}

function command(settings) {
  const vus = settings.vus === 'auto' ? 'VUS=auto' : `VUS=${settings.vus} VUS_PRE=${settings.vus_preallocated}`;
  return `PRESET=${settings.preset} RPS=${settings.rates_rps.join(',')} LANES=${settings.lanes.join(',')} ` +
    `DURATION=${settings.step_seconds} GAP=${settings.gap_seconds} ${vus} ACTION=${settings.action} ` +
    `TASK_MS=${settings.task_ms} PAYLOAD_BYTES=${settings.payload_bytes} ${bookSettings(settings)}GATEWAY_URL=${shellWord(settings.gateway_url)} k6/run`;
}

/** A run without lanes that go through the queue has no books in any case. */
function bookSettings(settings) {
  if (!settings.lanes.some((lane) => lanes[lane].queued)) {
    return '';
  }
  return settings.books ? `BOOKS_TIMEOUT=${settings.books_timeout_seconds} ` : 'BOOKS=off ';
}

function shellWord(text) {
  return /^[A-Za-z0-9_.,:/@%+-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}
