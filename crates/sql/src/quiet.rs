//! Panics in library functions, caught without a word on standard error.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// A panic on this thread will be caught and told as a reason.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `act`; a panic is given back as its text.
pub(crate) fn catch<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        set_hook(unless_caught(take_hook()));
    });
    let before = QUIET.replace(true);
    // What was half made is dropped by the caller.
    let result = catch_unwind(AssertUnwindSafe(act));
    QUIET.set(before);
    result.map_err(|panic| text(panic.as_ref()))
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Hears of panics that are not caught here.
fn unless_caught(before: Hook) -> Hook {
    Box::new(move |info| {
        if !QUIET.get() {
            before(info);
        }
    })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_panic_that_is_caught_here_is_told_once_and_others_as_before() {
        // Whoever comes first sets the hook of the process.
        assert_eq!(catch(|| 3), Ok(3));
        let heard = Arc::new(AtomicU32::new(0));
        let count = heard.clone();
        let before = take_hook();
        set_hook(unless_caught(Box::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })));
        let text = catch(|| catch(|| panic!("number {}", 7)).err().unwrap_or_default());
        assert_eq!(text.as_deref(), Ok("number 7"));
        assert_eq!(catch(|| 5), Ok(5));
        assert_eq!(heard.load(Ordering::SeqCst), 0);
        catch_unwind(|| panic!("another")).unwrap_err();
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        set_hook(before);
    }
}
