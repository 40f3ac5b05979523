// What a run found in a sentence or two, computed from its numbers alone.

import * as format from './format.js';
import { lanes } from './lanes.js';

/**
 * The headline of a summary: the break point of a breakpoint run, else the lanes at the highest rate, in relation to each
 * other and then each.
 */
export function headline(summary) {
  const { title, text } = headlines(summary);
  return `${title} ${text}`.trim();
}

/** The same in two parts: the one sentence to remember, and what it is made of, which may be empty. */
export function headlines(summary) {
  if (summary.breakpoint !== null) {
    return { title: breakHeadline(summary), text: '' };
  }
  const top = topSteps(summary);
  if (top.length === 0) {
    return { title: 'The run was stopped before its first step was complete.', text: '' };
  }
  const where = `At ${format.count(top[0].rps)} requests a second, `;
  const each = `${top.map((step, i) => clause(step, i === 0 ? ' on average' : '')).join('; ')}.`;
  const ratio = relation(top);
  return ratio === '' ? { title: where + each, text: '' } : { title: `${where}${ratio}.`, text: format.sentence(each) };
}

/** The lane that does not wait for the work against one that does; empty where a run has no such two, or no answers. */
function relation(top) {
  const [queued, direct] = [top.find(({ lane }) => !lanes[lane].waits), top.find(({ lane }) => lanes[lane].waits)];
  if (queued === undefined || direct === undefined || !(queued.latency_ms.avg > 0) || !(direct.latency_ms.avg > 0)) {
    return '';
  }
  const speed = direct.latency_ms.avg / queued.latency_ms.avg;
  const share = queued.goodput_rps / direct.goodput_rps;
  const pace = speed >= 1.1 ? `answered ${format.times(speed)} times as fast as ${direct.lane}`
    : speed <= 0.9 ? `took ${format.times(1 / speed)} times as long to answer as ${direct.lane}` : `answered about as fast as ${direct.lane}`;
  const load = share >= 1.1 ? `${format.times(share)} times as many requests`
    : share <= 0.9 ? `${format.share(share)} as many requests` : 'about as many requests';
  return `${queued.lane} ${pace} and ${lanes[queued.lane].verb} ${load}`;
}

/** The steps at the highest rate that every lane of the run has completed, in the order of the lanes. */
export function topSteps(summary) {
  const chosen = summary.settings.lanes;
  const at = (rps) => summary.steps.filter((step) => step.rps === rps && step.complete);
  const rates = summary.settings.rates_rps.filter((rps) => at(rps).length === chosen.length);
  return rates.length === 0 ? [] : at(rates[rates.length - 1]);
}

function clause(step, kind) {
  const time = step.latency_ms.avg === null ? '' : ` in ${format.time(step.latency_ms.avg)}${kind}`;
  const facts = [`${step.lane} ${lanes[step.lane].verb} ${format.rate(step.goodput_rps)}${time}`];
  if (step.drop_share > 0) {
    facts.push(`left ${format.share(step.drop_share)} of the load unsent`);
  }
  if (step.error_share > 0) {
    facts.push(`failed ${format.share(step.error_share)} of the requests`);
  }
  return format.listing(facts.length > 1 ? facts : [...facts, 'dropped nothing']);
}

function breakHeadline({ breakpoint, steps, settings, complete }) {
  const lane = `The ${settings.lanes[0]} lane`;
  const { last_good_rps: good, broke_at_rps: broke } = breakpoint;
  if (broke === null) {
    const held = good === null ? 'was stopped before its first step was complete'
      : `held every rate up to ${format.count(good)} requests a second`;
    return `${lane} ${held}${complete ? '; its break point lies above' : ''}.`;
  }
  const step = steps.find((candidate) => candidate.rps === broke);
  const causes = [];
  if (step.drop_share > breakpoint.limit_share) {
    causes.push(`${format.share(step.drop_share)} was dropped`);
  }
  if (step.error_share > breakpoint.limit_share) {
    causes.push(`${format.share(step.error_share)} failed`);
  }
  const held = good === null ? `${lane} broke at the first rate, ${format.count(broke)} requests a second`
    : `${lane} held ${format.count(good)} requests a second and broke at ${format.count(broke)}`;
  return `${held}: ${format.listing(causes)}.`;
}
