// A person at a real browser (Debian's Chromium, driven by playwright-core), who
// signs in and out of the gateway.
//
//   node browser.mjs SETUP
//
// SETUP is JSON: proxy (host:port, to which the names lead), provider (the issuer),
// chromium (the program), screenshots (a folder, "" = none are taken) and hand (who
// does what is not done at a browser: see stagehand in login_browser_test.go). It prints a
// line of JSON for each thing it tried: {"name": …, "fault": … or null}.
import http from 'node:http';
import { chromium } from 'playwright-core';

const setup = JSON.parse(process.argv[2]);
const app = 'https://app.example.com';
const shop = 'https://shop.example.com';

const browser = await chromium.launch({
  executablePath: setup.chromium,
  args: ['--no-sandbox', '--disable-quic', `--host-resolver-rules=${['app', 'shop'].map((h) => `MAP ${h}.example.com:443 ${setup.proxy}`).join(', ')}`],
});

function check(ok, what) {
  if (!ok) throw new Error(what);
}

// expected are the complaints of the browser about a page's policy that are meant.
async function attempt(name, { expected, ...options }, deed) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(8000);
  const complaints = [];
  const watch = (page) => page.on('console', (m) => {
    // The icon that browsers ask a site for by themselves is none of the page's.
    if (m.text().includes('/favicon.ico')) return;
    if (/Content Security Policy|violates/i.test(m.text()) && !m.text().startsWith('Framing ') && !expected?.test(m.text())) complaints.push(m.text());
  });
  context.on('page', watch);
  let fault = null;
  try {
    let late;
    const limit = new Promise((_, refuse) => { late = setTimeout(() => refuse(new Error('it took more than 45 s')), 45000); });
    await Promise.race([limit, context.newPage().then((page) => deed(context, page))]).finally(() => clearTimeout(late));
    check(complaints.length === 0, `the policy refused: ${complaints.join('; ')}`);
  } catch (err) {
    const pages = await Promise.all(context.pages().map(async (p) => `${p.url()}: ${(await p.content().catch(() => '')).slice(0, 600)}`));
    fault = `${err.message}\n${pages.join('\n')}`;
  }
  console.log(JSON.stringify({ name, fault }));
  await context.close();
}

async function password(page, user) {
  await page.getByLabel('Username').fill(user);
  await page.getByLabel('Password').fill(`${user}s-password`);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function atProvider(page, account) {
  await page.waitForURL(`${setup.provider}/interaction/**`);
  await page.getByLabel('Account').fill(account);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const cookie = async (context, name, at = app) => (await context.cookies(at)).find((c) => c.name === name);
const text = (page) => page.evaluate(() => document.body.innerText);

// contrast is the least ratio (WCAG 2.2, 1.4.3) of any text on the page to what is
// behind it, and what else a blind or a keyboard's reader would miss.
async function accessible(page, what) {
  const faults = await page.evaluate(() => {
    const found = [];
    const channels = (c) => {
      const m = c.match(/[\d.]+/g).map(Number);
      return m.length > 3 && m[3] === 0 ? null : m.slice(0, 3);
    };
    const light = (c) => {
      const [r, g, b] = c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (e) => {
      for (let n = e; n; n = n.parentElement) {
        const c = channels(getComputedStyle(n).backgroundColor);
        if (c) return c;
      }
      return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
    };
    if (document.documentElement.lang !== 'en') found.push('no language');
    if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
    if (document.querySelectorAll('main').length !== 1) found.push('not one main');
    if (!document.title) found.push('no title');
    if (document.documentElement.scrollWidth > innerWidth) found.push(`scrolls sideways (${document.documentElement.scrollWidth} > ${innerWidth})`);
    for (const e of document.querySelectorAll('input:not([type=hidden])')) if (!e.labels.length) found.push(`no label: ${e.name}`);
    for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) found.push('an image without alt');
    for (const e of document.querySelectorAll('a, button, input:not([type=hidden])')) {
      const { height } = e.getBoundingClientRect();
      if (height < 24 && !e.closest('p')) found.push(`too small to hit: ${e.outerHTML}`);
    }
    const seen = new Set();
    for (const e of document.querySelectorAll('main *')) {
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
      if (!own || !e.getClientRects().length) continue;
      const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${e.outerHTML.slice(0, 80)}`);
      if (e.id && seen.has(e.id)) found.push(`the id ${e.id} twice`);
      seen.add(e.id);
    }
    return found;
  });
  check(faults.length === 0, `${what}: ${faults.join('; ')}`);
}

// looks takes a picture of the page as it looks to several people.
async function looks(page, name) {
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [form, width] of [['wide', 1100], ['narrow', 360]]) {
      await page.setViewportSize({ width, height: 760 });
      await accessible(page, `${name}, ${scheme}, ${form}`);
      if (setup.screenshots) await page.screenshot({ path: `${setup.screenshots}/${name}-${scheme}-${form}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 720 });
}

await attempt('a password, by a deep link', {}, async (context, page) => {
  await page.goto(`${app}/deep/link?x=1&y=%2F#part`);
  check(page.url().startsWith(`${app}/.sallyport/login`), `at ${page.url()}`);
  await looks(page, 'login');
  check(await page.evaluate(() => document.activeElement.id) === 'username', 'the focus is not on the username');
  await page.getByLabel('Username').fill('bob');
  await page.keyboard.press('Tab');
  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  await looks(page, 'login-wrong');
  check(await page.evaluate(() => document.activeElement.id) === 'password', 'the focus is not on the password');
  await page.keyboard.type('bobs-password');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${app}/deep/link?x=1&y=%2F*`);
  const c = await cookie(context, '__Host-sallyport');
  check(c.secure && c.httpOnly && c.sameSite === 'Lax' && c.path === '/' && c.domain === 'app.example.com' && c.value.length < 200, JSON.stringify(c));
  check((await page.evaluate(() => document.cookie)).includes('__Host-sallyport-csrf='), 'no token for scripts');
  check(!(await page.evaluate(() => document.cookie)).includes(c.value), 'a script reads the session');
  const [without, withIt] = await page.evaluate(async () => {
    const token = document.cookie.match(/__Host-sallyport-csrf=([^;]*)/)[1];
    return [(await fetch('/things', { method: 'POST' })).status, (await fetch('/things', { method: 'POST', headers: { 'X-CSRF-Token': token } })).status];
  });
  check(without === 403 && withIt === 200, `a write without the token ${without}, with it ${withIt}`);
  await page.goto(`${shop}/cart?n=1`);
  check(page.url() === `${shop}/cart?n=1`, `the other host: ${page.url()}`);
  await page.goto(`${app}/.sallyport/logout`);
  await looks(page, 'logout');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await looks(page, 'signed-out');
  check(!await cookie(context, '__Host-sallyport'), 'the cookie is still there');
  await page.goto(`${shop}/cart`);
  check(page.url().startsWith(`${app}/.sallyport/login`), `the other host goes on: ${page.url()}`);
});

await attempt('an OpenID provider, in several tabs, and back', {}, async (context, page) => {
  const second = await context.newPage();
  await page.goto(`${app}/one`);
  await second.goto(`${app}/two`);
  await page.getByRole('link', { name: 'Continue with corp' }).click();
  await page.waitForURL(`${setup.provider}/interaction/**`);
  await second.getByRole('link', { name: 'Continue with corp' }).click();
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/one`);
  await atProvider(second, 'a1');
  await second.waitForURL(`${app}/two`);
  check(/"X-User":\["alice"\]/.test(await text(second)), await text(second));
  const sent = await text(second);
  check(!/sallyport\/callback/.test(sent), `the backend is told of the callback: ${sent}`);
  await page.goBack().catch(() => null); // to the provider's page, whose login is over
  await page.goto(`${app}/three`);
  check(page.url() === `${app}/three`, `after going back: ${page.url()}`);
});

await attempt('a callback that was used, and one of nobody', {}, async (context, page) => {
  let callback = '';
  page.on('request', (r) => { if (r.url().includes('/.sallyport/callback')) callback = r.url(); });
  await page.goto(`${app}/corp`);
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/corp`);
  await page.goto(callback);
  check(page.url() === `${app}/corp`, `played again: ${page.url()}`);
  await context.clearCookies({ domain: 'app.example.com' });
  await page.goto(callback);
  check(page.url().startsWith(`${app}/.sallyport/login`), `played again in a browser that has forgotten: ${page.url()}`);
  await context.clearCookies();
  await page.goto(`${app}/.sallyport/callback?code=x&state=AAAA`);
  check(page.url().startsWith(`${app}/.sallyport/login`), `nobody's: ${page.url()}`);
});

await attempt('a callback that came too late', {}, async (context, page) => {
  let callback = '';
  page.on('request', (r) => { if (r.url().includes('/.sallyport/callback')) callback = r.url(); });
  await page.goto(`${app}/corp/late?x=1`);
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/corp/late?x=1`);
  const late = await (await fetch(`${setup.hand}/age?${new URLSearchParams({ link: callback })}`)).text();
  await context.clearCookies({ name: '__Host-sallyport' });
  // The provider knows the browser: it starts over by itself, and asks the person nothing.
  await page.goto(late);
  check(page.url() === `${app}/corp/late?x=1`, `at ${page.url()}`);
  check(await cookie(context, '__Host-sallyport'), 'no session');
  // Where it does not, the person is asked, and comes to the page all the same.
  await context.clearCookies({ name: '__Host-sallyport' });
  await context.clearCookies({ domain: new URL(setup.provider).hostname });
  await page.goto(late);
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/corp/late?x=1`);
});

await attempt('logout here and at the provider', {}, async (context, page) => {
  await page.goto(`${app}/corp`);
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/corp`);
  await page.goto(`${app}/.sallyport/logout`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await page.goto(`${app}/corp`);
  check(page.url().startsWith(`${setup.provider}/interaction/`), `the provider's session goes on: ${page.url()}`);
  // And the other way round.
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/corp`);
  await fetch(`${setup.provider}/test/end?account=a1`, { method: 'POST' });
  await page.goto(`${app}/x`);
  check(page.url().startsWith(`${app}/.sallyport/login`), `the provider has ended it: ${page.url()}`);
});

await attempt('a person who declines can start over', {}, async (context, page) => {
  await page.goto(`${app}/corp`);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('link', { name: 'Start over' }).waitFor();
  await looks(page, 'declined');
  await page.getByRole('link', { name: 'Start over' }).click();
  check(page.url().startsWith(`${app}/.sallyport/login`), page.url());
});

await attempt('a fetch gets 401, and no login page', {}, async (context, page) => {
  await page.goto(`${app}/open`);
  const got = await page.evaluate(async () => {
    // Not a route that takes Basic, too: for its challenge the browser opens a box of its own.
    const r = await fetch('/corp/x', { headers: { Accept: 'text/html' } });
    const socket = await new Promise((done) => {
      const s = new WebSocket('wss://app.example.com/corp/x');
      s.onopen = () => done('open');
      s.onerror = () => done('refused');
      setTimeout(() => done('unanswered'), 5000);
    });
    return { status: r.status, redirected: r.redirected, challenge: r.headers.get('WWW-Authenticate'), socket };
  });
  check(got.status === 401 && !got.redirected && got.socket === 'refused', JSON.stringify(got));
});

await attempt('a page of another site', {}, async (context, page) => {
  const evil = http.createServer((req, res) => {
    const to = new URL(req.url, 'http://x').searchParams.get('to');
    res.setHeader('Content-Type', 'text/html');
    res.end(`<title>evil</title><form method="post" action="${to}"><input name="a" value="1"><input name="session" value="others"></form><script>document.forms[0].submit()</script>`);
  });
  await new Promise((done) => { evil.listen(0, '127.0.0.1', done); });
  try {
    await page.goto(`${app}/x`);
    await password(page, 'bob');
    await page.waitForURL(`${app}/x`);
    for (const path of ['/things', '/.sallyport/logout', '/.sallyport/account', '/.sallyport/login']) {
      const answer = page.waitForResponse((r) => r.request().method() === 'POST' && new URL(r.url()).pathname === path);
      await page.goto(`http://127.0.0.1:${evil.address().port}/?to=${app}${path}`, { waitUntil: 'commit' });
      const status = (await answer).status();
      // SameSite=Lax keeps the session from it, so a write may meet 401 before 403.
      check(status === 403 || path === '/things' && status === 401, `${path}: ${status}`);
      await page.waitForLoadState();
    }
    await page.goto(`${app}/x`);
    check(page.url() === `${app}/x`, `the session has ended: ${page.url()}`);
    const framed = await context.newPage();
    await framed.setContent(`<iframe src="${app}/.sallyport/logout"></iframe>`);
    await framed.waitForTimeout(500);
    const frame = framed.frames()[1];
    check(!frame || !(await frame.content().catch(() => '')).includes('Sign out'), 'the page lets itself be framed');
  } finally {
    evil.closeAllConnections();
    evil.close();
  }
});

await attempt('without JavaScript', { javaScriptEnabled: false }, async (context, page) => {
  await page.goto(`${app}/plain`);
  await password(page, 'bob');
  await page.waitForURL(`${app}/plain`);
  await page.goto(`${app}/.sallyport/logout`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await page.goto(`${app}/corp`);
  await atProvider(page, 'a1');
  await page.waitForURL(`${app}/corp`);
});

await attempt('the account page ends another session', {}, async (context, page) => {
  await page.goto(`${app}/x`);
  await password(page, 'bob');
  const phone = await browser.newContext({ ignoreHTTPSErrors: true, userAgent: 'A phone, whose name is quite long and has no place where it could be broken: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' });
  try {
    const other = await phone.newPage();
    await other.goto(`${app}/x`);
    await password(other, 'bob');
    await other.waitForURL(`${app}/x`);
    await page.goto(`${app}/.sallyport/account`);
    await looks(page, 'account');
    await page.locator('li', { hasText: 'A phone' }).getByRole('button').click();
    await page.locator('li', { hasText: 'A phone' }).waitFor({ state: 'detached' });
    await other.goto(`${app}/x`);
    check(other.url().startsWith(`${app}/.sallyport/login`), `the phone goes on: ${other.url()}`);
    await page.goto(`${app}/x`);
    check(page.url() === `${app}/x`, `this browser: ${page.url()}`);
  } finally {
    await phone.close();
  }
});

// The stylesheet tries to bring in what is none of the gateway's: the policy refuses
// that, and nothing else.
await attempt('the operator\'s title, stylesheet and logo', { expected: /elsewhere\.example/ }, async (context, page) => {
  const refused = [];
  page.on('console', (m) => { if (m.text().includes('elsewhere.example')) refused.push(m.text()); });
  const asked = [];
  page.on('request', (r) => { if (r.url().includes('elsewhere.example')) asked.push(r.url()); });
  page.on('response', (r) => { if (r.url().includes('elsewhere.example')) asked.push(`answered ${r.url()}`); });
  const style = () => page.evaluate(() => {
    const of = (q) => document.querySelector(q) && getComputedStyle(document.querySelector(q));
    const img = document.querySelector('img');
    return { title: document.title, heading: document.querySelector('h1').innerText, button: of('button').backgroundColor, on: of('button').color,
      edge: of('main').borderTopWidth, logo: img && `${img.naturalWidth}x${img.naturalHeight}`, shown: !!img && img.getBoundingClientRect().height > 0 };
  });
  await page.goto(`${app}/x`);
  const plain = await style();
  check(plain.title === 'Sign in' && plain.edge === '1px' && plain.logo === null && plain.button === 'rgb(11, 87, 208)', `undressed: ${JSON.stringify(plain)}`);
  await fetch(`${setup.hand}/dress`);
  try {
    await page.goto(`${app}/x`);
    await page.waitForLoadState('networkidle');
    const worn = await style();
    check(worn.title === 'Sign in to <Example>' && worn.heading === worn.title, `the title: ${JSON.stringify(worn)}`);
    check(worn.button === 'rgb(138, 28, 92)' && worn.on === 'rgb(255, 255, 255)' && worn.edge === '6px', `the stylesheet: ${JSON.stringify(worn)}`);
    check(worn.logo === '120x40' && worn.shown, `the logo: ${JSON.stringify(worn)}`);
    check(refused.length >= 2 && !asked.some((a) => a.startsWith('answered')), `what is none of ours: ${asked} ${refused}`);
    await looks(page, 'themed');
    await page.emulateMedia({ colorScheme: 'dark' });
    check((await style()).button === 'rgb(245, 163, 207)', `in the dark: ${JSON.stringify(await style())}`);
    await page.emulateMedia({ colorScheme: 'light' });
    await password(page, 'bob');
    await page.waitForURL(`${app}/x`);
    await page.goto(`${app}/.sallyport/logout`);
    const out = await style();
    check(out.title === 'Sign out' && out.button === 'rgb(138, 28, 92)' && out.logo === '120x40', `the other pages: ${JSON.stringify(out)}`);
    await looks(page, 'themed-logout');
  } finally {
    await fetch(`${setup.hand}/undress`);
  }
});

await browser.close();
