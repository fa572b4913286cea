// Live updates: replaces the parts of the page that changed, and nothing else. Works only with pushes
// from this server; without scripts the page is complete, it just has to be loaded again.
"use strict";
(() => {
  // The reader's own way to write times, where it is in the language of the page.
  const here = document.documentElement.lang;
  const locale = navigator.languages.find((l) => l.startsWith(here)) ?? here;
  const zone = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      time.textContent = today ? at.toLocaleTimeString(locale) : at.toLocaleString(locale);
    }
  };
  zone(document);
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;

  const state = document.createElement("p");
  state.className = "link-state";
  state.setAttribute("role", "status");
  const said = document.createElement("p"); // read out when something really changed, not at every count
  said.className = "hidden";
  said.setAttribute("role", "status");
  document.body.append(state, said);
  const korean = here === "ko";
  const say = (up) => { state.textContent = up ? (korean ? "● 실시간" : "● live") : (korean ? "○ 다시 연결 중" : "○ reconnecting"); };

  const raw = new Map();
  const remember = (root) => root.querySelectorAll("[data-part]").forEach((p) => raw.set(p.dataset.part, p.outerHTML));

  // What the reader did to a part: what is unfolded, and where the focus is.
  const kept = (root) => {
    const open = [...root.querySelectorAll("details[id]")].map((d) => [d.id, d.open]);
    const at = root.contains(document.activeElement) ? document.activeElement : null;
    const focus = at?.id ? `#${CSS.escape(at.id)}`
      : at?.getAttribute("href") ? `[href="${CSS.escape(at.getAttribute("href"))}"]`
      : at?.tagName === "SUMMARY" && at.parentElement.id ? `#${CSS.escape(at.parentElement.id)} > summary` : null;
    return () => {
      for (const [id, was] of open) document.getElementById(id)?.toggleAttribute("open", was);
      if (focus) live.querySelector(focus)?.focus({ preventScroll: true });
    };
  };
  const news = () => live.querySelector("[data-say]")?.dataset.say;

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    const parts = [...fresh.querySelectorAll("[data-part]")];
    const here = [...live.querySelectorAll("[data-part]")].map((p) => p.dataset.part);
    const before = news();
    if (parts.map((p) => p.dataset.part).join() !== here.join()) {
      const y = window.scrollY, restore = kept(live);
      remember(fresh);
      zone(fresh);
      live.replaceChildren(...fresh.childNodes);
      restore();
      window.scrollTo(0, y);
    } else {
      for (const part of parts) {
        const name = part.dataset.part;
        if (raw.get(name) === part.outerHTML) continue;
        raw.set(name, part.outerHTML);
        const old = live.querySelector(`[data-part="${name}"]`), restore = kept(old);
        zone(part);
        old.replaceWith(part);
        restore();
      }
    }
    if (before !== undefined && news() !== before) said.textContent = live.querySelector("[data-say] .sentence")?.textContent ?? "";
  };

  const source = new EventSource(live.dataset.live);
  source.onopen = () => say(true);
  source.onerror = () => say(false);
  source.addEventListener("page", (event) => show(event.data));
  window.addEventListener("pagehide", () => source.close());
})();
