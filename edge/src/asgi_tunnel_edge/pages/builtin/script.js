
"use strict";
(() => {
  // Seconds. Requests wait at the edge for an app that is away, so the app's return is seen at once;
  // the pauses are between two of them.
  const FIRST = 5, LONGEST = 60, AT_ONCE = 2, PATIENCE = 90;
  const state = document.getElementById("state");
  let pause = FIRST, timer = 0, asked = 0, inFlight = null;

  const later = (seconds) => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, seconds * 1000 * (0.9 + Math.random() / 5));
  };

  const look = async () => {
    const own = inFlight = new AbortController();
    const patience = setTimeout(() => own.abort(), PATIENCE * 1000);
    let wait = 0;
    asked = Date.now();
    try {
      const reply = await fetch(location.href, {
        method: "HEAD", cache: "no-store", redirect: "manual", signal: own.signal,
      });
      if (!reply.headers.has("x-asgi-tunnel-reason")) {
        if (state) state.textContent = "The site is back. Loading it.";
        location.reload();
        return;
      }
      wait = Number(reply.headers.get("retry-after")) || 0;
    } catch (error) {
      // No network, or this page went into the background.
    } finally {
      clearTimeout(patience);
    }
    if (own !== inFlight) return;
    later(Math.min(Math.max(pause, wait), LONGEST));
    pause = Math.min(pause * 1.5, LONGEST);
  };

  // In the background nothing is asked.
  const again = () => {
    if (inFlight) inFlight.abort();
    inFlight = null;
    later(Math.max(AT_ONCE - (Date.now() - asked) / 1000, 0));
  };
  document.addEventListener("visibilitychange", again);
  addEventListener("online", again);

  // In the visitor's own time zone, and in the English that the visitor writes.
  const language = navigator.languages.find((one) => one.startsWith("en")) || "en-GB";
  const style = { day: "numeric", month: "long", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short" };
  for (const time of document.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString(language, style);
  }
  if (state) state.textContent = "Waiting for the site";
  later(FIRST);
})();
