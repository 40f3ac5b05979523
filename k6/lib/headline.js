// One sentence that says what a run found, computed from its numbers alone.

import * as format from './format.js';
import { lanes } from './lanes.js';

/** The headline of a summary: the break point of a breakpoint run, else the lanes at the highest rate. */
export function headline(summary) {
  if (summary.breakpoint !== null) {
    return breakHeadline(summary);
  }
  const top = topSteps(summary);
  if (top.length === 0) {
    return 'The run was stopped before its first step was complete.';
  }
  const clauses = top.map((step, i) => clause(step, i === 0 ? ' on average' : ''));
  return `At ${format.count(top[0].rps)} requests a second, ${clauses.join('; ')}.`;
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
