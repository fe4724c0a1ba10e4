// The page follows what happens in the shop; without this script it is read
// again by its links.
"use strict";
// The writer's zone, so that the answer can say the time where they are.
document.querySelector("input[name=zone]").value = -new Date().getTimezoneOffset() * 60;

// The letter's frame is as tall as the window allows; its sandbox hides its own height.
let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const text = await (await fetch(location.pathname + location.search)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    document.getElementById("list").replaceWith(fresh.getElementById("list"));
    const sheet = document.getElementById("answer"), next = fresh.getElementById("answer");
    // An open letter is left alone, unless its answer has come meanwhile.
    if (!sheet.querySelector(".paper ~ .paper")) sheet.replaceWith(next);
  } catch { /* the demo has ended, or comes back with the next change */ }
  busy = false;
  if (again) { again = false; refresh(); }
}
const changes = new EventSource("/changes");
changes.onopen = changes.onmessage = refresh;
