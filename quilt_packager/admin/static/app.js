// Enhancements beyond htmx: polling, dialogs, copying. The page works without them.
(() => {
  const root = document.documentElement;
  const IDLE_MS = 30 * 60 * 1000;
  let touchedAt = Date.now();

  // Polls pause while the page is hidden or paused. A pause survives a reload.
  const all = (selector) => document.querySelectorAll(selector);
  const show = () => all("[data-pause]").forEach((button) => {
    button.hidden = false;
    button.setAttribute("aria-pressed", Boolean(root.dataset.paused));
  });
  const resume = () => all("[data-poll]").forEach((element) => htmx.trigger(element, "resume"));
  const pause = (why) => {
    if (why) root.dataset.paused = why;
    else delete root.dataset.paused;
    show();
  };
  if (localStorage.getItem("paused")) pause("asked");
  show();

  const touch = () => { touchedAt = Date.now(); };
  ["pointerdown", "keydown", "scroll"].forEach((name) => addEventListener(name, touch, { passive: true }));

  document.addEventListener("htmx:before:request", (event) => {
    if (!event.detail.ctx.sourceElement.matches("[data-poll]")) return;
    if (Date.now() - touchedAt > IDLE_MS && !root.dataset.paused) pause("idle");
    if (document.hidden || root.dataset.paused) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { touch(); resume(); } });

  // The server has stopped, or answers again.
  const offline = (is) => all("#offline").forEach((element) => { element.hidden = !is; });
  document.addEventListener("htmx:error", (event) => { if (event.detail.ctx) offline(true); });
  document.addEventListener("htmx:before:response", () => offline(false));

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pause], [data-copy]");
    if (!button) return;
    if ("copy" in button.dataset) {
      navigator.clipboard.writeText(button.dataset.copy).then(() => say("Copied."));
      return;
    }
    const paused = !root.dataset.paused;
    pause(paused ? "asked" : "");
    if (paused) localStorage.setItem("paused", "1");
    else { localStorage.removeItem("paused"); resume(); }
    say(paused ? "Paused." : "Live again.");
  });
  const say = (words) => { document.getElementById("announce").textContent = words; };

  // Show a confirmation that has arrived, and remove it when it closes. The browser restores the focus.
  const opened = new WeakSet();
  const settle = () => {
    all("#dialog > dialog:not([open])").forEach((dialog) => {
      dialog.addEventListener("close", () => dialog.remove());
      dialog.showModal();
    });
    all(".toast:not([data-timed])").forEach((toast) => {
      toast.dataset.timed = "";
      const end = () => toast.matches(":hover, :focus-within") ? setTimeout(end, 1000) : toast.remove();
      setTimeout(end, 6000);
    });
    // Scroll a log to its first error, once.
    all(".log[data-first]").forEach((log) => {
      const line = log.querySelector(log.dataset.first);
      if (line && !opened.has(log)) log.scrollTop = line.offsetTop - 40;
      opened.add(log);
    });
    all("form .field").forEach((field) => field.querySelectorAll(".t").forEach((control) => {
      control.setAttribute("aria-invalid", field.querySelector(".say.bad") !== null);
    }));
    show();
  };
  document.addEventListener("htmx:after:swap", (event) => {
    settle();
    // The clicked element is gone: keyboard users continue at its answer.
    const { sourceEvent, target } = event.detail.ctx;
    if (sourceEvent?.type !== "click" || document.activeElement !== document.body) return;
    document.getElementById(target?.id)?.focus({ preventScroll: true });
  });
  addEventListener("DOMContentLoaded", settle);

  // Update ages such as "4 min ago", which round like formats.age.
  const age = (seconds) => {
    if (seconds < 59.5) return `${Math.max(seconds, 0).toFixed()} s`;
    for (const [unit, size, longest] of [["min", 60, 90], ["h", 3600, 48]]) {
      if (Math.round(seconds / size) < longest) return `${Math.round(seconds / size)} ${unit}`;
    }
    return `${Math.round(seconds / 86400)} d`;
  };
  const since = (time) => (Date.now() - Date.parse(time.dateTime)) / 1000;
  setInterval(() => {
    all("time[data-age], time[data-until]").forEach((time) => {
      const words = "age" in time.dataset ? `${age(since(time))} ago` : `in ${age(-since(time))}`;
      if (time.textContent !== words) time.textContent = words;
    });
    // Live data is younger than two intervals.
    all("[data-poll]").forEach((live) => {
      const [time, seconds] = [live.querySelector("time"), live.dataset.poll];
      if (time && seconds && since(time) > 2 * seconds) live.classList.add("late");
    });
  }, 5000);
})();
