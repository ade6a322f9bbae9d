//! Components of any size, so that compiling takes as long, and as much memory, as a test wants.

/// So many statements make one function: about 300 bytes, as in modules that people write.
const STATEMENTS: usize = 40;
/// All of them numbers of 32 bits; the first two are the parameters.
const LOCALS: u8 = 8;

/// The component, grown to about so many bytes by a core module of many functions that nobody calls. It is compiled like the rest, and
/// what the component does stays the same.
pub fn large(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut grown = component.to_vec();
    let module = module(bytes.saturating_sub(component.len()));
    section(&mut grown, 1, &module);
    grown
}

/// A core module of about so many bytes.
fn module(bytes: usize) -> Vec<u8> {
    let mut numbers = Numbers(1);
    let mut bodies = Vec::new();
    let mut count = 0;
    while count == 0 || bodies.len() < bytes {
        let body = function(&mut numbers, count);
        unsigned(&mut bodies, body.len());
        bodies.extend(body);
        count += 1;
    }
    let mut functions = Vec::new();
    unsigned(&mut functions, count);
    // Each function has type 0.
    functions.resize(functions.len() + count, 0);
    let mut code = Vec::new();
    unsigned(&mut code, count);
    code.extend(bodies);

    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type: two numbers in, one out. One memory: of one page.
    section(&mut module, 1, &[1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]);
    section(&mut module, 3, &functions);
    section(&mut module, 5, &[1, 0, 1]);
    section(&mut module, 10, &code);
    module
}

/// A function that calls only those before it.
fn function(numbers: &mut Numbers, before: usize) -> Vec<u8> {
    const GET: u8 = 0x20;
    const SET: u8 = 0x21;
    let mut body = vec![1, 6, 0x7f];
    for _ in 0..STATEMENTS {
        let [to, left, right] = [(); 3].map(|()| numbers.byte(LOCALS));
        // And, or, xor, shift.
        let operator = 0x71 + numbers.byte(4);
        match numbers.byte(6) {
            // A value is read from memory.
            0 => body.extend([GET, left, 0x28, 2, 8, SET, to]),
            // A value is written there.
            1 => body.extend([GET, left, GET, right, 0x36, 2, 16]),
            // Only if another one is not zero.
            2 => body.extend([GET, left, 0x04, 0x40, GET, left, GET, right, operator, SET, to, 0x0b]),
            // Again while the result is not zero.
            3 => body.extend([0x03, 0x40, GET, left, GET, right, operator, SET, to, GET, to, 0x0d, 0, 0x0b]),
            4 if before > 0 => {
                body.extend([GET, left, GET, right, 0x10]);
                unsigned(&mut body, numbers.below(before));
                body.extend([SET, to]);
            }
            _ => body.extend([GET, left, GET, right, operator, SET, to]),
        }
    }
    body.extend([GET, 2, 0x0b]);
    body
}

fn section(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    unsigned(out, content.len());
    out.extend(content);
}

/// LEB128.
fn unsigned(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(0x80 | last_byte(number & 0x7f));
        number >>= 7;
    }
    out.push(last_byte(number));
}

fn last_byte(number: usize) -> u8 {
    let [byte, ..] = number.to_le_bytes();
    byte
}

/// Always the same numbers, so that a component of a size is always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }

    fn byte(&mut self, end: u8) -> u8 {
        last_byte(self.below(end.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_about_what_was_asked_for() {
        let component = b"\0asm\x0d\0\x01\0";
        for bytes in [10_000, 2 << 20] {
            let grown = large(component, bytes).len();
            assert!((bytes..bytes + bytes / 10 + 1000).contains(&grown), "{grown}");
        }
    }
}
