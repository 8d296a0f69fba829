// Asks the browser for a passkey, or to make one, and brings what it says to the edge.
// The form in the page says which: data-kind, data-base, data-to, data-invitation.
(() => {
  "use strict";
  const form = document.getElementById("passkey");
  const state = document.getElementById("passkey-state");
  const problem = document.getElementById("passkey-problem");
  const button = form.querySelector("button");
  const { kind, base, to, invitation } = form.dataset;
  let waiting = null; // the request that lists passkeys in the field of the name

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const text = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (one) => String.fromCharCode(one)).join(""))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  class Refused extends Error {
    constructor(said) {
      super(said.problem || said.error || "The edge refused this. Try again.");
      this.unknown = said.reason === "unknown-passkey";
    }
  }

  async function post(page, values) {
    const response = await fetch(base + "passkey/" + page, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(values),
    });
    const said = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(said);
    return said;
  }

  function read(options) {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    for (const list of [options.excludeCredentials, options.allowCredentials]) {
      for (const one of list || []) one.id = bytes(one.id);
    }
    return options;
  }

  function written(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response };
  }

  async function logIn(more) {
    const { options } = await post("challenge", {});
    const credential = await navigator.credentials.get({ publicKey: read(options), ...more });
    state.textContent = "Logging in…";
    try {
      return await post("login", { to, credential: written(credential) });
    } catch (error) {
      if (error.unknown && window.PublicKeyCredential.signalUnknownCredential) {
        // What the edge does not know any more is offered no more.
        const one = { rpId: location.hostname, credentialId: credential.id };
        window.PublicKeyCredential.signalUnknownCredential(one).catch(() => {});
      }
      throw error;
    }
  }

  async function make() {
    const { options } = await post("options", { invitation });
    const credential = await navigator.credentials.create({ publicKey: read(options) });
    state.textContent = "Keeping the passkey…";
    const label = form.elements.namedItem("label");
    return post("new", { label: label ? label.value : "", credential: written(credential) });
  }

  function explain(error) {
    if (error instanceof Refused) return error.message;
    switch (error.name) {
      case "NotAllowedError":
      case "AbortError":
        if (kind === "new") return "No passkey was made. Try again.";
        return document.querySelector("main input[type=password], main a.button")
          ? "No passkey was used. Try again, or log in another way."
          : "No passkey was used. Try again.";
      case "InvalidStateError":
        return "This device has a passkey for you already.";
      case "ConstraintError":
      case "NotSupportedError":
        return "This device cannot keep passkeys. Take another one, or set a screen lock or a PIN first.";
      case "SecurityError":
        return "The browser allows no passkeys at this address.";
      default:
        return "The edge cannot be reached. Try again in a moment.";
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (waiting) waiting.abort();
    waiting = null;
    button.disabled = true;
    problem.textContent = "";
    state.textContent = "Your browser asks for the passkey…";
    try {
      const done = await (kind === "login" ? logIn({}) : make());
      location.replace(done.location);
    } catch (error) {
      state.textContent = "";
      problem.textContent = explain(error);
      button.disabled = false;
      button.focus();
    }
  });

  // Browsers that can list passkeys beside saved passwords: choosing one there is enough.
  async function offer() {
    const field = document.querySelector("input[autocomplete~=webauthn]");
    const { PublicKeyCredential } = window;
    if (kind !== "login" || !field || !PublicKeyCredential.isConditionalMediationAvailable) return;
    if (!(await PublicKeyCredential.isConditionalMediationAvailable())) return;
    for (;;) {
      const mine = (waiting = new AbortController());
      const renewal = setTimeout(() => mine.abort(), 200_000); // before its challenge is over
      try {
        const done = await logIn({ mediation: "conditional", signal: mine.signal });
        location.replace(done.location);
        return;
      } catch (error) {
        state.textContent = "";
        if (error instanceof Refused) problem.textContent = error.message;
        if (waiting !== mine || error.name !== "AbortError") return;
      } finally {
        clearTimeout(renewal);
      }
    }
  }

  const able = Boolean(window.PublicKeyCredential);
  form.hidden = !able;
  for (const one of document.querySelectorAll("[data-with-passkey]")) one.hidden = !able;
  for (const one of document.querySelectorAll("[data-without-passkey]")) one.hidden = able;
  if (able) offer().catch(() => {});
})();
