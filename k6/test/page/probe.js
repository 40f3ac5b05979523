// What the tests ask of a page. It is evaluated in the page, and its value is an object of functions.
({
  /** Each chart: its bars, and how many pixels of the drawing stand for one unit of its axis. */
  charts() {
    return [...document.querySelectorAll('.plot')].map((plot) => {
      const ticks = [...plot.querySelectorAll('.tick.end')].map((tick) => ({ y: Number(tick.getAttribute('y')), value: Number(tick.textContent.replace(/,/g, '')) }));
      const [bottom, top] = [ticks[0], ticks[ticks.length - 1]];
      return {
        measure: plot.dataset.measure,
        unit: plot.dataset.label.split(', ').pop(),
        scale: (bottom.y - top.y) / (top.value - bottom.value),
        bars: [...plot.querySelectorAll('[data-step]')].map((group) => {
          const bars = [...group.querySelectorAll('rect:not(.baseline)')];
          return {
            step: group.dataset.step,
            height: Math.max(0, ...bars.map((rect) => rect.getBBox().height)),
            good: bars.length === 0 ? 0 : bars[bars.length - 1].getBBox().height,
            baseline: [...group.querySelectorAll('rect.baseline')].map((rect) => rect.getBBox().height)[0] || 0,
            predicted: [...group.querySelectorAll('.predicted')].map((mark) => bottom.y - mark.getBBox().y - 5)[0] || 0,
          };
        }),
      };
    });
  },

  /** The cells of a table by the label of its region, row by row. */
  table(label) {
    const region = document.querySelector(`[role=region][aria-label="${label}"]`);
    return region === null ? [] : [...region.querySelectorAll('tr')].map((row) => [...row.cells].map((cell) => cell.textContent));
  },

  /** What can be seen of the reading of a chart: nothing where it is hidden. */
  tip(measure) {
    const tip = document.querySelector(`.plot[data-measure="${measure}"] .tip`);
    if (!tip.checkVisibility()) {
      return '';
    }
    const [chart, box] = [tip.closest('.card').getBoundingClientRect(), tip.getBoundingClientRect()];
    const inside = box.left >= chart.left && box.right <= chart.right + 1;
    return inside ? [...tip.children].map((line) => line.textContent).join('\n') : `outside of its chart: ${tip.textContent}`;
  },

  /** Where each group of a chart is on the screen. */
  groups(measure) {
    const plot = document.querySelector(`.plot[data-measure="${measure}"]`);
    plot.scrollIntoView({ block: 'center' });
    const box = plot.getBoundingClientRect();
    return JSON.parse(plot.dataset.readings).map(({ from, to, rate }) => ({
      rate, x: box.left + ((from + to) / 2) * box.width, y: box.top + box.height / 2,
    }));
  },

  /** Texts whose contrast is below that of WCAG AA, 4.5 to 1, and how many were looked at. */
  contrast() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const poor = [];
    let seen = 0;
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const element = node.parentElement;
      if (node.textContent.trim() === '' || ['SCRIPT', 'STYLE', 'title'].includes(element.tagName) || !element.checkVisibility()) {
        continue;
      }
      seen += 1;
      const style = getComputedStyle(element);
      const ground = groundOf(element);
      const ratio = contrastOf(over(colour(element instanceof SVGElement ? style.fill : style.color), ground), ground);
      if (ratio < 4.5) {
        poor.push(`${ratio.toFixed(2)} of "${node.textContent.trim().slice(0, 40)}"`);
      }
    }
    return { seen, poor };

    function groundOf(element) {
      const layers = [];
      for (let at = element; at !== null; at = at.parentElement) {
        layers.push(colour(getComputedStyle(at).backgroundColor));
      }
      return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    }
    function colour(text) {
      const parts = text.match(/^rgba?\(([^)]*)\)$/);
      if (parts === null) {
        throw new Error(`a colour that the test cannot read: ${text}`);
      }
      const [r, g, b, a = 1] = parts[1].split(/[ ,/]+/).map(Number);
      return [r, g, b, a];
    }
    function over([r, g, b, a], below) {
      return [r, g, b].map((value, i) => value * a + below[i] * (1 - a)).concat(1);
    }
    function contrastOf(one, other) {
      const [light, dark] = [luminance(one), luminance(other)].sort((x, y) => y - x);
      return (light + 0.05) / (dark + 0.05);
    }
    function luminance(parts) {
      const [r, g, b] = parts.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }
  },

  /** How far the page is wider than its window, and which elements stick out of it that nothing scrolls. */
  overflow() {
    const width = document.documentElement.clientWidth;
    const scrolled = (element) => {
      const region = element.parentElement.closest('.scroll');
      return region !== null && getComputedStyle(region).overflowX === 'auto';
    };
    const out = [...document.body.querySelectorAll('*')].filter((element) => (
      element.checkVisibility() && element.getBoundingClientRect().right > width + 1 && !scrolled(element)));
    return { by: document.documentElement.scrollWidth - width, out: out.map((element) => `${element.outerHTML.slice(0, 60)}`) };
  },

  /** The elements that cannot be named by a screen reader, although it stops at them. */
  nameless() {
    return [...document.querySelectorAll('a, button, [tabindex], [role]')]
      .filter((element) => (element.getAttribute('aria-label') || element.textContent).trim() === '').map((element) => element.outerHTML.slice(0, 80));
  },
})
