// A person at a real browser who signs in at a SAML provider, in two tabs.
//
//   node school.mjs SETUP
//
// SETUP is JSON: proxy (host:port, to which the name leads), provider (its address) and
// chromium (the program). It ends with "all is well", or says what is not.
import { chromium } from 'playwright-core';

const setup = JSON.parse(process.argv[2]);
const app = 'https://app.example.com';
const browser = await chromium.launch({
  executablePath: setup.chromium,
  args: ['--no-sandbox', '--disable-quic', `--host-resolver-rules=MAP app.example.com:443 ${setup.proxy}`],
});

function check(ok, what) {
  if (!ok) throw new Error(what);
}

const context = await browser.newContext({ ignoreHTTPSErrors: true });
context.setDefaultTimeout(15000);
const relay = async () => (await context.cookies(app)).find((c) => c.name === '__Host-sallyport-relay');
try {
  const [one, two] = [await context.newPage(), await context.newPage()];
  for (const [page, path] of [[one, '/one?x=1'], [two, `/two/${'deep/'.repeat(100)}`]]) {
    await page.goto(app + path);
    check(page.url().startsWith(setup.provider), `not at the provider: ${page.url()}`);
  }
  const c = await relay();
  check(c && c.secure && c.httpOnly && c.sameSite === 'None' && c.path === '/', `the cookie of logins under way: ${JSON.stringify(c)}`);
  for (const page of [one, two]) {
    await page.reload(); // the provider may know the browser by now
    if (await page.locator('input[name=username]').count()) {
      await page.locator('input[name=username]').fill('anna');
      await page.locator('input[name=password]').fill('of anna');
      await page.locator('[type=submit]').first().click();
    }
    await page.waitForURL(`${app}/**`);
    await page.waitForLoadState();
  }
  check(one.url() === `${app}/one?x=1`, `the first tab is at ${one.url()}`);
  check(two.url() === `${app}/two/${'deep/'.repeat(100)}`, `the second tab is at ${two.url()}`);
  check(/"X-User":\["anna"\]/.test(await two.evaluate(() => document.body.innerText)), 'nobody is signed in');
  check(!await relay(), 'the cookie of logins under way is still there');
  await one.goto(`${app}/.sallyport/logout`);
  await one.getByRole('button', { name: 'Sign out' }).click();
  await one.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await one.goto(`${app}/three`);
  check(one.url().startsWith(setup.provider) && await one.locator('input[name=password]').count(), `after the logout: ${one.url()}`);
  console.log('all is well');
} catch (err) {
  console.log(err.message);
  for (const p of context.pages()) console.log(`${p.url()}: ${(await p.content().catch(() => '')).slice(0, 800)}`);
}
await browser.close();
