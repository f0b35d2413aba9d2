// A backend on node's http server that writes down every request as it read it.
//
//   node echo.mjs LOG STRICT-PORT LENIENT-PORT [ROOT]    (it writes LOG.strict and LOG.lenient)
//
// Two servers: one strict, one with insecureHTTPParser, which forgives what old
// backends forgive. The log has one line a request, its members parted by tabs, in
// the escapes of nginx and Apache: id, method, request line, readings of the path,
// file, status. What the parser refuses is written with the method "-".
//
// With ROOT, files are served below it, and a path is resolved as carelessly as a
// careless program resolves it. Without, every request is answered 200.
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import crypto from 'node:crypto';

const [, , log, strictPort, lenientPort, root] = process.argv;

const escaped = (s) => Buffer.from(String(s), 'latin1').toString('latin1').replace(/[\x00-\x1f"\\|\x7f-\xff]/g,
  (c) => '\\x' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'));

// writer gives the function that writes to one server's log.
const writer = (out) => (id, method, line, readings, file, status) => {
  fs.writeSync(out, [id || '-', method, line, '', '', status].map(escaped).map((v, i) =>
    i === 3 ? readings.map(escaped).join('|') || '-' : i === 4 ? escaped(file || '-') : v).join('\t') + '\n');
};

const decoded = (s) => {
  try {
    return decodeURIComponent(s);
  } catch {
    return unescape(s); // as a reader does that takes bytes for characters
  }
};

// readings are the paths that programs on node make of one target.
function readings(target) {
  let p = target.split('?')[0].split('#')[0];
  const all = new Set();
  try {
    all.add(new URL(target, 'http://x').pathname);
  } catch { /* no URL: that reader refuses it */ }
  for (let i = 0; i < 3; i++) {
    for (const v of [p, p.replaceAll('\\', '/'), p.split('\0')[0], p.split('/').map((s) => /^\.+;/.test(s) ? s.split(';')[0] : s).join('/')]) {
      all.add(path.posix.normalize('/' + v));
    }
    const next = decoded(p);
    if (next === p) break;
    p = next;
  }
  return [...all];
}

// fold is how CGI, WSGI and their kin name a field, and what they then read: of
// equal names the last one wins, or all are joined.
function fold(rawHeaders, pattern) {
  const env = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = 'HTTP_' + rawHeaders[i].toUpperCase().replace(pattern, '_');
    env[name] = name in env ? env[name] + ',' + rawHeaders[i + 1] : rawHeaders[i + 1];
  }
  return env;
}

function answer(note, req, res) {
  const line = `${req.method} ${req.url} HTTP/${req.httpVersion}`;
  const id = req.headers['x-request-id'];
  req.socket.last = line;
  if (!root) note(id, req.method, line, [req.url], '', 200); // at once: what breaks off has been seen too
  const body = [];
  req.on('data', (b) => body.push(b));
  req.on('end', () => {
    res.setHeader('X-Saw', line.replace(/[^\x20-\x7e]/g, '?'));
    if (root) {
      serve(note, req, res, line, id);
      return;
    }
    const seen = {
      method: req.method, url: req.url, rawHeaders: req.rawHeaders, headers: req.headers,
      trailers: req.trailers, rawTrailers: req.rawTrailers, body: Buffer.concat(body).toString('latin1'),
      wsgi: fold(req.rawHeaders.concat(req.rawTrailers), /-/g), php: fold(req.rawHeaders.concat(req.rawTrailers), /[^A-Z0-9]/g),
    };
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify(seen));
  });
  req.on('error', () => {});
}

function serve(note, req, res, line, id) {
  const all = readings(req.url);
  const file = path.join(root, decoded(req.url.split('?')[0]).split('\0')[0].replaceAll('\\', '/'));
  let status = 404, text = 'no such file\n';
  if (file.startsWith(root) && fs.existsSync(file)) {
    status = 200;
    text = fs.statSync(file).isFile() ? fs.readFileSync(file) : 'a folder: ' + fs.readdirSync(file).join(' ') + '\n';
  }
  note(id, req.method, line, all, file, status);
  res.statusCode = status;
  res.end(text);
}

function refused(note, err, socket) {
  if (socket.refused) return; // node goes on to read what follows a head that it refused
  socket.refused = true;
  // Without a packet it is a body that broke off. Why, and behind which request, helps to read the log.
  if (err.rawPacket) note('', '-', err.rawPacket.toString('latin1').slice(0, 300), [String(err.code), String(socket.last)], '', 400);
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
}

function make(lenient) {
  const note = writer(fs.openSync(`${log}.${lenient ? 'lenient' : 'strict'}`, 'a'));
  const s = http.createServer({ insecureHTTPParser: lenient, keepAliveTimeout: 120_000, requestTimeout: 60_000, joinDuplicateHeaders: lenient, maxHeaderSize: 128 << 10 }, (req, res) => answer(note, req, res));
  s.on('clientError', (err, socket) => {
    if (err.code !== 'ECONNRESET' && err.code !== 'EPIPE') refused(note, err, socket);
    else socket.destroy();
  });
  if (!lenient) {
    // A handshake is answered; what comes through the tunnel is no request, and is echoed.
    s.on('upgrade', (req, socket, head) => {
      const id = req.headers['x-request-id'], line = `${req.method} ${req.url} HTTP/${req.httpVersion}`;
      const good = req.headers.upgrade?.toLowerCase() === 'websocket' && req.headers['sec-websocket-key'] && req.headers['sec-websocket-version'] === '13';
      note(id, req.method, line, [req.url], '', good ? 101 : 426);
      socket.on('error', () => {});
      if (!good) {
        socket.end('HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Saw: ${line}\r\nX-Env: ${encodeURIComponent(JSON.stringify(fold(req.rawHeaders, /[^A-Z0-9]/g)))}\r\n\r\n`);
      if (head.length) socket.write(head);
      socket.pipe(socket);
    });
    s.on('connect', (req, socket) => {
      note(req.headers['x-request-id'], req.method, `${req.method} ${req.url} HTTP/${req.httpVersion}`, [req.url], '', 405);
      socket.end('HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
  }
  return s;
}

make(false).listen(Number(strictPort), '127.0.0.1');
make(true).listen(Number(lenientPort), '127.0.0.1');
