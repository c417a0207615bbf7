// Shows what the server streams. Every text goes in as a text node: nothing here ever parses mark-up.
'use strict';

const $ = (id) => document.getElementById(id);
const state = { chat: null, chosen: null, person: null, replyTo: null, seen: new Map(), open: new Set(), diffs: new Map(), shown: new Map(), busy: new Set() };

// --- small tools ---

function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'class') node.className = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function icon(path) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}
const ICONS = { file: 'M6 3h8l5 5v13H6zM14 3v5h5M9 13h6M9 17h6', url: 'M8 16L17 7M9 7h8v8', copy: 'M9 9h11v11H9zM5 15V4h11' };

const time = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const day = (seconds) => new Date(seconds * 1000).toLocaleDateString([], { day: 'numeric', month: 'long' });
const size = (bytes) => (bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KB`);
const initials = (name) => [...(name || '?').replace(/[^\p{L}\p{N} ]/gu, '')].slice(0, 1).join('').toUpperCase() || '?';

function avatar(id, name) {
  return el('span', { class: `avatar a${Math.abs(id || 0) % 7}`, 'aria-hidden': 'true' }, initials(name));
}

function safeLink(address) {
  try { return ['http:', 'https:', 'tg:'].includes(new URL(address).protocol) ? address : null; } catch { return null; }
}

function openLink(address) {
  const safe = safeLink(address.includes('://') ? address : `https://${address}`);
  if (safe) window.open(safe, '_blank', 'noopener,noreferrer');
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); toast('Copied to clipboard.'); } catch { alertBox(text); }
}

let toastTimer;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, 3500);
}

function alertBox(text) {
  const dialog = $('dialog');
  dialog.className = 'alert';
  dialog.replaceChildren(el('p', {}, text), el('button', { onclick: () => dialog.close() }, 'OK'));
  dialog.showModal();
}

async function post(path, body) {
  const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// --- text with formatting ---

/// Lines of code; a diff in colour. Inside a hunk the header's counts decide, so that a removed "-- x" does not pass for a file name.
function lines(text, language) {
  const diff = language === 'diff' || /^(diff --git|--- |@@ )/m.test(text);
  let [old, fresh] = [0, 0];
  const kind = (line) => {
    if (!diff) return '';
    const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line);
    if (hunk && old <= 0 && fresh <= 0) {
      [old, fresh] = [Number(hunk[1] ?? 1), Number(hunk[2] ?? 1)];
      return 'hunk';
    }
    if (old <= 0 && fresh <= 0 && /^(diff |index |\+\+\+|---|new file|deleted file|similarity|rename|old mode|new mode)/.test(line)) return 'file';
    if (line.startsWith('+')) { fresh -= 1; return 'add'; }
    if (line.startsWith('-')) { old -= 1; return 'del'; }
    if (!line.startsWith('\\')) { old -= 1; fresh -= 1; }
    return '';
  };
  return el('div', { class: 'lines' }, text.replace(/\n$/, '').split('\n').map((line) => el('span', { class: kind(line) }, line || ' ')));
}

const TAGS = { bold: 'b', italic: 'i', underline: 'u', strikethrough: 's', code: 'code', custom_emoji: 'span', text_mention: 'b' };
const BLOCKS = new Set(['pre', 'blockquote', 'expandable_blockquote']);

/// The element of an entity and the place its content goes.
function shape(entity, content, key) {
  if (entity.type === 'pre') {
    const head = el('header', {}, entity.detail || 'code', el('button', { type: 'button', onclick: () => copy(content) }, 'copy'));
    return { root: el('div', { class: 'pre' }, head, lines(content, entity.detail)), into: null };
  }
  if (entity.type === 'blockquote' || entity.type === 'expandable_blockquote') {
    const inner = el('div', { class: 'inner' });
    const root = el('blockquote', {}, inner);
    if (entity.type === 'expandable_blockquote') {
      root.classList.add('expandable');
      root.classList.toggle('folded', !state.open.has(key));
      const unfold = () => {
        const folded = root.classList.toggle('folded');
        folded ? state.open.delete(key) : state.open.add(key);
      };
      root.append(el('button', { type: 'button', class: 'more', title: 'Expand or collapse', onclick: (event) => { event.stopPropagation(); unfold(); } }, '⌄'));
      root.addEventListener('click', unfold);
    }
    return { root, into: inner };
  }
  if (entity.type === 'text_link') {
    const link = el('a', { href: safeLink(entity.detail), target: '_blank', rel: 'noopener noreferrer', title: entity.detail });
    return { root: link, into: link };
  }
  const node = el(TAGS[entity.type] || 'span', { class: entity.type === 'spoiler' ? 'spoiler' : null });
  return { root: node, into: node };
}

/// Entities come outer before inner and properly nested; offsets are UTF-16, as JavaScript counts.
function formatted(text, entities, key) {
  const root = el('div', { class: 'body' });
  let next = 0;
  const put = (parent, from, to) => {
    let at = from;
    const plain = (end, beforeBlock, afterBlock) => {
      let piece = text.slice(at, end);
      if (afterBlock) piece = piece.replace(/^\n/, '');
      if (beforeBlock) piece = piece.replace(/\n$/, '');
      if (piece) parent.append(piece);
    };
    let afterBlock = false;
    while (next < entities.length && entities[next].offset < to) {
      const entity = entities[next++];
      const block = BLOCKS.has(entity.type);
      const end = Math.min(entity.offset + entity.length, to);
      plain(entity.offset, block, afterBlock);
      const made = shape(entity, text.slice(entity.offset, end), `${key}:${entity.offset}`);
      if (made.into) put(made.into, entity.offset, end);
      parent.append(made.root);
      at = end;
      afterBlock = block;
    }
    plain(to, false, afterBlock);
  };
  put(root, 0, text.length);
  return root;
}

// --- chat ---

const current = () => state.chat && (state.chat.chats.find((chat) => chat.id === state.chosen) || state.chat.chats[0]);
const actor = () => { const chat = current(); return chat && chat.private ? chat.id : state.person; };

function renderChat() {
  const chat = current();
  if (!chat) { $('messages').replaceChildren(el('div', { class: 'empty' }, 'No chats yet.')); return; }
  state.chosen = chat.id;
  state.seen.set(chat.id, lastId(chat));
  $('headline').textContent = state.chat.headline;
  $('tabs').hidden = state.chat.chats.length < 2;
  $('tabs').replaceChildren(...state.chat.chats.map((each) => {
    const unread = each.messages.filter((message) => message.id > (state.seen.get(each.id) || 0)).length;
    return el('button', { role: 'tab', 'aria-selected': String(each.id === chat.id), onclick: () => choose(each.id) }, each.title, unread && each.id !== chat.id ? el('em', {}, unread) : null);
  }));
  $('chat-avatar').className = `avatar a${Math.abs(chat.id) % 7}`;
  $('chat-avatar').textContent = initials(chat.title);
  $('chat-title').textContent = chat.title;
  $('chat-sub').textContent = chat.private ? 'private chat with the bot' : `${chat.kind} · ${state.chat.people.length + 1} members`;
  renderPeople(chat);
  const pinned = chat.messages.filter((message) => message.pinned).pop();
  $('pinned').hidden = !pinned;
  if (pinned) $('pinned').replaceChildren(el('b', {}, 'Pinned message'), pinned.text.split('\n')[0]);
  renderMessages(chat);
}

const lastId = (chat) => (chat.messages.length ? chat.messages[chat.messages.length - 1].id : 0);

function renderPeople(chat) {
  const select = $('person');
  const signature = JSON.stringify(state.chat.people);
  if (select.dataset.people !== signature) {
    select.dataset.people = signature;
    select.replaceChildren(...state.chat.people.map((person) => el('option', { value: person.id }, person.name)));
    state.person = state.person || (state.chat.people[0] && state.chat.people[0].id);
  }
  select.disabled = chat.private;
  select.value = actor();
  renderAuthenticator();
}

// The demo's stand-in for the app on somebody's phone: it never reaches the chat by itself.
function renderAuthenticator() {
  const person = actor();
  const known = (state.codes || []).find((row) => row.user === person);
  $('authenticator').hidden = !known;
  if (!known) return;
  const who = state.chat.people.find((each) => each.id === person);
  const command = `/code ${known.code}`;
  $('authenticator').replaceChildren(
    `🔑 ${who ? who.name : 'Their'}’s authenticator app (the demo’s stand-in) shows `,
    el('code', {}, `${known.code.slice(0, 3)} ${known.code.slice(3)}`), ' ',
    el('button', { type: 'button', onclick: () => { $('text').value = command; $('text').focus(); } }, 'Type it'));
}

// Whoever reads the newest message stays there when the list grows or its window shrinks.
let stuck = true;
$('messages').addEventListener('scroll', ({ target }) => { stuck = target.scrollHeight - target.scrollTop - target.clientHeight < 80; });
new ResizeObserver(() => { if (stuck) $('messages').scrollTop = $('messages').scrollHeight; }).observe($('messages'));

/// Redraws only the messages that changed, so that a press or an unfolded quote survives.
function renderMessages(chat) {
  const list = $('messages');
  const first = list.dataset.chat !== String(chat.id);
  if (first) { state.shown.clear(); list.dataset.chat = chat.id; }
  const nodes = [];
  let previousDay = '';
  for (const message of chat.messages) {
    if (day(message.date) !== previousDay) { previousDay = day(message.date); nodes.push(el('div', { class: 'day' }, el('span', {}, previousDay))); }
    const signature = JSON.stringify(message) + (message.from === actor());
    let known = state.shown.get(message.id);
    if (!known || known.signature !== signature) {
      const node = bubble(chat, message);
      if (!first) node.classList.add(known ? 'touched' : 'fresh');
      known = { signature, node };
      state.shown.set(message.id, known);
    }
    nodes.push(known.node);
  }
  list.replaceChildren(...(nodes.length ? nodes : [el('div', { class: 'empty' }, 'Nothing here yet.')]));
  if (first || stuck) list.scrollTop = list.scrollHeight;
}

function bubble(chat, message) {
  if (message.service) return el('div', { class: 'service' }, el('span', {}, message.service));
  const mine = message.from === actor();
  const isBot = message.from === state.chat.bot.id;
  const inside = [];
  if (!mine) inside.push(el('div', { class: 'author' }, message.author || chat.title, isBot ? el('small', {}, 'bot') : null, message.thread ? el('small', {}, `topic ${message.thread}`) : null));
  if (message.forwarded) inside.push(el('div', { class: 'soft' }, 'Forwarded message'));
  if (message.reply) {
    inside.push(el('div', { class: 'quote-of', onclick: () => jump(message.reply.id) }, el('b', {}, message.reply.author), el('span', {}, message.reply.text)));
  }
  if (message.document) inside.push(fileCard(chat, message));
  const meta = el('span', { class: 'meta' }, `${message.silent ? 'silent ' : ''}${message.edited ? 'edited ' : ''}${time(message.edited || message.date)}${mine ? ' ✓✓' : ''}`);
  const body = formatted(message.text, message.entities, `${chat.id}:${message.id}`);
  body.append(meta);
  inside.push(body);
  if (message.reaction) inside.push(el('span', { class: 'reaction' }, message.reaction));
  inside.push(el('button', { class: 'answer', type: 'button', title: 'Reply', onclick: () => reply(message) }, '↩'));
  const stack = el('div', { class: 'stack' }, el('div', { class: 'bubble' }, inside), message.keyboard.length ? keys(chat, message) : null);
  return el('div', { class: `row${mine ? ' mine' : ''}`, 'data-id': message.id }, mine || chat.private ? null : avatar(message.from, message.author), stack);
}

function fileCard(chat, message) {
  const { name, size: bytes } = message.document;
  return el('button', { class: 'file-card', type: 'button', onclick: () => showDocument(chat, message) }, el('i', { 'aria-hidden': 'true' }, icon(ICONS.file)), el('span', {}, el('b', {}, name), el('small', {}, size(bytes))));
}

async function showDocument(chat, message) {
  const answer = await fetch(`/document/${chat.id}/${message.id}`);
  const text = await answer.text();
  const dialog = $('dialog');
  dialog.className = '';
  dialog.replaceChildren(
    el('header', {}, message.document.name, el('button', { onclick: () => dialog.close() }, 'Close')),
    lines(text, message.document.name.endsWith('.diff') || message.document.name.endsWith('.patch') ? 'diff' : ''),
  );
  dialog.showModal();
}

function keys(chat, message) {
  return el('div', { class: 'keys' }, message.keyboard.map((row, r) => el('div', {}, row.map((button, c) => {
    const busy = state.busy.has(`${chat.id}:${message.id}:${r}:${c}`);
    return el('button', { type: 'button', class: `${button.style || ''}${busy ? ' busy' : ''}`, onclick: (event) => tap(event.currentTarget, chat, message, r, c) }, button.text, ICONS[button.kind] ? el('span', { class: 'kind', 'aria-hidden': 'true' }, icon(ICONS[button.kind])) : null);
  }))));
}

async function tap(node, chat, message, row, column) {
  const key = `${chat.id}:${message.id}:${row}:${column}`;
  if (state.busy.has(key)) return;
  state.busy.add(key);
  node.classList.add('busy');
  try {
    const answer = await post('/tap', { user: actor(), chat: chat.id, message: message.id, row, column });
    if (answer.copied) copy(answer.copied);
    else if (answer.url) openLink(answer.url);
    if (answer.text) answer.alert ? alertBox(answer.text) : toast(answer.text);
  } catch (error) {
    toast(`This did not reach the bot: ${error.message}`);
  } finally {
    state.busy.delete(key);
    node.classList.remove('busy');
  }
}

function choose(id) {
  state.chosen = id;
  reply(null);
  renderChat();
}

function jump(id) {
  const node = $('messages').querySelector(`[data-id="${id}"]`);
  if (node) { node.scrollIntoView({ block: 'center', behavior: 'smooth' }); node.classList.remove('touched'); void node.offsetWidth; node.classList.add('touched'); }
}

function reply(message) {
  state.replyTo = message ? message.id : null;
  $('replying').hidden = !message;
  $('text').placeholder = (message && message.asks) || 'Message';
  if (!message) return;
  $('replying').replaceChildren(el('div', {}, el('b', {}, `Reply to ${message.author}`), message.text.split('\n')[0]), el('button', { type: 'button', title: 'Do not reply', onclick: () => reply(null) }, '✕'));
  $('text').focus();
}

function hints() {
  const typed = $('text').value;
  const wanted = typed.startsWith('/') && !typed.includes(' ') && state.chat ? state.chat.commands.filter((each) => each.command.startsWith(typed.slice(1))) : [];
  $('hints').hidden = !wanted.length;
  $('hints').replaceChildren(...wanted.map((each) => el('button', { type: 'button', onclick: () => { $('text').value = `/${each.command} `; $('hints').hidden = true; $('text').focus(); } }, el('b', {}, `/${each.command}`), el('small', {}, each.description))));
}

$('text').addEventListener('input', hints);
$('slash').addEventListener('click', () => { $('text').value = '/'; hints(); $('text').focus(); });
$('person').addEventListener('change', (event) => { state.person = Number(event.target.value); state.shown.clear(); renderChat(); });
$('composer').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text) return;
  try {
    await post('/say', { user: actor(), chat: current().id, text, reply_to: state.replyTo });
    $('text').value = '';
    hints();
    reply(null);
    $('messages').scrollTop = $('messages').scrollHeight;
  } catch (error) {
    toast(error.message);
  }
});
// As in the apps: a message that asks for an answer opens the reply by itself.
function offerReply(before, chat) {
  const asked = chat && chat.messages[chat.messages.length - 1];
  if (before && asked && asked.asks !== null && asked.from === state.chat.bot.id && !before.some((message) => message.id === asked.id)) reply(asked);
}

// --- git ---

function renderLog(log) {
  $('branch').textContent = `${log.branch} · ${log.commits.length} commit${log.commits.length === 1 ? '' : 's'}`;
  const known = renderLog.known;
  renderLog.known = new Set(log.commits.map((commit) => commit.id));
  $('commits').replaceChildren(...(log.commits.length ? log.commits.map((commit) => row(commit, known && !known.has(commit.id))) : [el('div', { class: 'empty' }, 'No commits yet.')]));

  function row(commit, fresh) {
    const details = el('div', { class: 'details', hidden: state.open.has(commit.id) ? null : '' });
    const head = el('button', { type: 'button', 'aria-expanded': String(state.open.has(commit.id)), onclick: () => toggle(commit, details, head) },
      el('span', { class: 'subject' }, commit.subject, el('span', { class: 'id' }, commit.short)),
      el('span', { class: 'by' }, `${commit.author} · ${day(commit.date)} ${time(commit.date)}${commit.parents > 1 ? ' · merge' : ''}`),
      commit.trailers.length ? el('span', { class: 'trailers' }, commit.trailers.map(([name, value]) => el('span', { title: `${name}: ${value}` }, el('i', {}, `${name} `), value))) : null);
    if (state.open.has(commit.id)) fill(commit, details);
    return el('article', { class: `commit${fresh ? ' new' : ''}` }, head, details);
  }
}

function toggle(commit, details, head) {
  details.hidden = !details.hidden;
  head.setAttribute('aria-expanded', String(!details.hidden));
  details.hidden ? state.open.delete(commit.id) : state.open.add(commit.id);
  if (!details.hidden) fill(commit, details);
}

async function fill(commit, details) {
  if (!state.diffs.has(commit.id)) {
    details.textContent = 'Reading…';
    const answer = await fetch(`/commit/${commit.id}`);
    const text = await answer.text();
    if (!answer.ok) { details.textContent = text; return; }
    state.diffs.set(commit.id, text);
  }
  const diff = lines(state.diffs.get(commit.id) || '(no change in content)', 'diff');
  diff.classList.add('diff');
  details.replaceChildren(...(commit.body ? [el('p', {}, commit.body)] : []), diff);
}

// --- applications ---

const MARKS = { Healthy: '♥', Progressing: '◌', Degraded: '✖', Missing: '?', Suspended: '⏸', Synced: '✓', OutOfSync: '↥' };

function renderApplications(rows) {
  const healthy = rows.filter((row) => row.health === 'Healthy' && row.sync === 'Synced').length;
  $('summary').textContent = rows.length ? `${healthy} of ${rows.length} in sync and healthy` : '';
  const known = renderApplications.known;
  renderApplications.known = new Map(rows.map((row) => [row.name, JSON.stringify(row)]));
  const badge = (word) => el('span', { class: `badge ${/^[A-Za-z]+$/.test(word) ? word : ''}` }, el('i', {}, MARKS[word] || '•'), word);
  $('apps').replaceChildren(...(rows.length ? rows.map((row) => {
    const touched = known && known.get(row.name) !== JSON.stringify(row);
    return el('article', { class: `app h-${/^[A-Za-z]+$/.test(row.health) ? row.health : ''}${touched ? ' touched' : ''}` },
      el('div', { class: 'app-name' }, row.name, el('span', { class: 'mono soft' }, row.revision)),
      el('div', { class: 'badges' }, badge(row.sync), badge(row.health)),
      row.operation ? el('div', { class: 'operation' }, row.operation) : null);
  }) : [el('div', { class: 'empty' }, 'No applications.')]));
}

// --- panels and the stream ---

// An animation plays once, also when its panel is hidden and shown again.
document.addEventListener('animationend', (event) => {
  const moved = event.target.closest('.fresh, .touched, .new');
  if (moved) moved.classList.remove('fresh', 'touched', 'new');
});

function show(panel) {
  document.body.dataset.panel = panel;
  for (const button of document.querySelectorAll('.bar button')) {
    button.setAttribute('aria-pressed', String(button.dataset.show === panel));
    if (button.dataset.show === panel) button.querySelector('em').hidden = true;
  }
  if (panel === 'chat') $('messages').scrollTop = $('messages').scrollHeight;
}

function news(panel) {
  if (document.body.dataset.panel !== panel) document.querySelector(`.bar [data-show="${panel}"] em`).hidden = false;
}

for (const button of document.querySelectorAll('.bar button')) button.addEventListener('click', () => show(button.dataset.show));
if (['log', 'applications'].includes(location.hash.slice(1))) show(location.hash.slice(1));

const source = new EventSource('/events');
source.onopen = () => { $('link').textContent = 'live'; $('link').classList.add('on'); };
source.onerror = () => { $('link').textContent = 'reconnecting…'; $('link').classList.remove('on'); };
const seenOnce = new Set();
function listen(panel, render) {
  source.addEventListener(panel, (event) => {
    const data = JSON.parse(event.data);
    if (data === null) return;
    render(data);
    if (seenOnce.has(panel)) news(panel);
    seenOnce.add(panel);
  });
}
listen('chat', (data) => {
  const before = current() && current().messages;
  const initial = !state.chat;
  state.chat = data;
  if (initial) for (const chat of data.chats) state.seen.set(chat.id, lastId(chat));
  renderChat();
  offerReply(before, current());
});
listen('log', renderLog);
listen('applications', renderApplications);
// No news for the bar: a code of its own accord is none.
source.addEventListener('codes', (event) => {
  state.codes = JSON.parse(event.data);
  if (state.chat) renderAuthenticator();
});
