// The script of report.html, which lib/page.js puts into it: what a chart says at the rate that a reader points at, touches
// or reaches with the arrow keys. It runs in the browser, not in k6, and a page without it lacks nothing but that.

for (const plot of document.querySelectorAll('.plot')) {
  const readings = JSON.parse(plot.dataset.readings);
  if (readings.length > 0) { // A run that was stopped before its first request has none.
    explore(plot, readings);
  }
}

/** Makes a chart answer. For a keyboard and a screen reader it is a slider, whose values are the rates. */
function explore(plot, readings) {
  const band = plot.appendChild(element('div', 'band'));
  const tip = plot.appendChild(element('div', 'tip'));
  let shown = -1;

  const show = (index) => {
    shown = Math.min(readings.length - 1, Math.max(0, index));
    const reading = readings[shown];
    tip.replaceChildren(...lines(reading));
    plot.classList.add('read');
    plot.setAttribute('aria-valuenow', String(shown));
    plot.setAttribute('aria-valuetext', words(reading));
    band.style.left = `${reading.from * 100}%`;
    band.style.width = `${(reading.to - reading.from) * 100}%`;
    place(tip, reading, plot.clientWidth);
  };
  const hide = () => plot.classList.remove('read');
  const pointed = (event) => {
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const index = readings.findIndex(({ to }) => x < to);
    return index === -1 ? readings.length - 1 : index;
  };

  for (const title of plot.querySelectorAll('title')) {
    title.remove(); // The browser would show it besides.
  }
  plot.querySelector('svg').setAttribute('aria-hidden', 'true');
  const slider = {
    tabindex: '0', role: 'slider', 'aria-label': plot.dataset.label, 'aria-valuemin': '0',
    'aria-valuemax': String(readings.length - 1), 'aria-valuenow': '0', 'aria-valuetext': words(readings[0]),
  };
  for (const [name, value] of Object.entries(slider)) {
    plot.setAttribute(name, value);
  }
  plot.addEventListener('pointermove', (event) => show(pointed(event)));
  plot.addEventListener('pointerdown', (event) => show(pointed(event)));
  plot.addEventListener('pointerleave', (event) => {
    if (event.pointerType === 'mouse' && document.activeElement !== plot) {
      hide();
    }
  });
  plot.addEventListener('focus', () => show(shown === -1 ? readings.length - 1 : shown));
  plot.addEventListener('blur', hide);
  plot.addEventListener('keydown', (event) => {
    const to = {
      ArrowRight: shown + 1, ArrowUp: shown + 1, ArrowLeft: shown - 1, ArrowDown: shown - 1, Home: 0, End: readings.length - 1,
    }[event.key];
    if (event.key === 'Escape') {
      hide();
    } else if (to !== undefined) {
      event.preventDefault();
      show(to);
    }
  });
}

/** The lines of a tip: the rate, then each lane with what stands beside its bar. */
function lines({ rate, rows }) {
  const all = [element('b', '', rate)];
  for (const { lane, text, others } of rows) {
    const line = element('span', 'line');
    const chip = element('i', 'chip');
    chip.style.setProperty('--lane', `var(--lane-${lane})`);
    line.append(chip, `${lane} `, element('b', '', text));
    all.push(line, ...others.map((other) => element('small', '', other)));
  }
  return all;
}

function words({ rate, rows }) {
  return `${rate}: ${rows.map(({ lane, text, others }) => [`${lane} ${text}`, ...others].join(', ')).join('; ')}`;
}

/** Puts a tip beside what it speaks of, on the side with more room, and never outside of the chart. */
function place(tip, { from, to }, width) {
  const own = tip.offsetWidth;
  const left = (from + to) / 2 > 0.5 ? from * width - own - 6 : to * width + 6;
  tip.style.left = `${Math.max(0, Math.min(width - own, left))}px`;
}

function element(name, className, text = '') {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
