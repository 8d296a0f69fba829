// What pages of the dashboard do beside showing what the edge sends: charts, and logs that are followed.
// Everything can be read without it.
"use strict";

(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const amount = (value) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let place = 0;
    while (value >= 1000 && place < units.length - 1) { value /= 1000; place += 1; }
    return `${value >= 100 || place === 0 ? Math.round(value) : value.toFixed(1)} ${units[place]}`;
  };
  const duration = (seconds) => seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
  const count = (value) => value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(2)).toString();
  const UNITS = { bytes: amount, seconds: duration, count };

  // Hours of a day, in the reader's time, or days where there are several.
  const when = (at) => {
    const isLong = at[at.length - 1] - at[0] > 2 * 86400;
    const options = isLong ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false };
    const format = new Intl.DateTimeFormat("en", options);
    return (time) => format.format(new Date(time * 1000));
  };

  // One picture: `data-chart` names its address, `data-series` the columns of the answer and their colours.
  function draw(place, answer) {
    const unit = UNITS[place.dataset.unit] || count;
    const wanted = place.dataset.series.split(",").map((one) => one.split(":"));
    const line = (name, colour) => ({
      label: name, stroke: css(`--${colour}`), width: 1.5, spanGaps: place.dataset.unit === "seconds",
      fill: wanted.length === 1 ? `color-mix(in srgb, ${css(`--${colour}`)} 12%, transparent)` : undefined,
      points: { show: false },
    });
    const axis = {
      stroke: css("--soft"), font: "12px system-ui", ticks: { show: false },
      grid: { stroke: css("--line"), width: 1 },
    };
    place.replaceChildren();
    return new uPlot({
      width: Math.max(place.clientWidth, 200), height: 152, cursor: { y: false }, legend: { show: false }, padding: [8, 20, 0, 0],
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, size: 28, grid: { show: false }, space: 64, values: (_, times) => times.map(when(answer.at)) }, { ...axis, size: 58, values: (_, values) => values.map(unit) }],
      series: [{}, ...wanted.map(([name, colour]) => line(name, colour))],
    }, [answer.at, ...wanted.map(([name]) => answer[name])], place);
  }

  async function fill(place) {
    try {
      const response = await fetch(place.dataset.chart, { headers: { accept: "application/json" } });
      if (!response.ok) return;
      const answer = await response.json();
      let plot = draw(place, answer);
      new ResizeObserver(() => {
        const width = Math.max(place.clientWidth, 200);
        if (width !== plot.width) plot.setSize({ width, height: 152 });
      }).observe(place);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        plot.destroy();
        plot = draw(place, answer);
      });
      place.dataset.drawn = "yes";
    } catch {
      // Offline: the table below the pictures says the same.
    }
  }

  // A log that is followed stays at its end while somebody is there, and keeps a bounded number of lines.
  const MAX_LINES = 2000;
  function follow(log) {
    log.scrollTop = log.scrollHeight;
    new MutationObserver(() => {
      while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
      if (log.dataset.away !== "yes") log.scrollTop = log.scrollHeight;
    }).observe(log, { childList: true });
    log.addEventListener("scroll", () => {
      log.dataset.away = log.scrollTop + log.clientHeight < log.scrollHeight - 40 ? "yes" : "no";
    });
  }

  // A part that is being used is not taken away under the hand: its news wait for the next time.
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const inside = document.activeElement;
    if (inside && inside !== document.body && event.target.contains(inside) && !event.target.matches(".log")) event.preventDefault();
  });

  for (const place of document.querySelectorAll("[data-chart]")) fill(place);
  for (const log of document.querySelectorAll(".log")) follow(log);
  for (const one of document.querySelectorAll(".from-end")) one.scrollTop = one.scrollHeight;
  for (const one of document.querySelectorAll("[data-submits]")) {
    one.addEventListener("change", () => one.form.requestSubmit());
  }
})();
