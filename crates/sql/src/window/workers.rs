//! Threads that parts of a state are lent to, so that several are worked on at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that are started when they are first needed, and end with this.
#[derive(Default)]
pub(crate) struct Workers {
    threads: Mutex<Vec<Sender<Job>>>,
}

impl Workers {
    /// Does the same to all of these, each on a thread of its own, the first on this one. What came of it is in their order.
    ///
    /// # Panics
    /// As `act` does.
    pub(super) fn each<P: Send + 'static, T: Send + 'static>(
        &self,
        parts: &mut Vec<P>,
        act: impl Fn(usize, &mut P) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let act = Arc::new(act);
        let mut all = std::mem::take(parts).into_iter().enumerate();
        let first = all.next();
        let (done, hear) = channel();
        let mut lent = 0;
        for (number, mut part) in all {
            let (act, done) = (act.clone(), done.clone());
            let job = Box::new(move || {
                let came = catch_unwind(AssertUnwindSafe(|| act(number, &mut part)));
                // Whoever waited is gone after a panic of its own: then nobody needs the part.
                drop(done.send((number, part, came)));
            });
            self.give(number, job);
            lent += 1;
        }
        drop(done);
        let mut back = Vec::with_capacity(lent + 1);
        if let Some((number, mut part)) = first {
            let came = catch_unwind(AssertUnwindSafe(|| act(number, &mut part)));
            back.push((number, part, came));
        }
        back.extend(hear.iter().take(lent));
        assert!(back.len() == lent + 1 || lent == 0, "a part was lent and did not come back");
        back.sort_by_key(|(number, ..)| *number);
        let mut results = Vec::with_capacity(back.len());
        for (_, part, came) in back {
            parts.push(part);
            // After a panic the run ends: nothing half changed is looked at again.
            results.push(came.unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    }

    /// Gives a job to a thread. If there can be no thread more, it is done here.
    fn give(&self, number: usize, job: Job) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < number {
            let (jobs, next) = channel::<Job>();
            let name = format!("windows-{}", threads.len() + 1);
            let started = thread::Builder::new().name(name).spawn(move || {
                for job in next {
                    job();
                }
            });
            if started.is_err() {
                break;
            }
            threads.push(jobs);
        }
        let left = match number.checked_sub(1).and_then(|n| threads.get(n)) {
            Some(thread) => thread.send(job).err().map(|e| e.0),
            None => Some(job),
        };
        drop(threads);
        if let Some(job) = left {
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_in_their_order_with_what_came_of_them() {
        let workers = Workers::default();
        let mut parts = vec![1, 2, 3];
        for _ in 0..100 {
            let came = workers.each(&mut parts, |number, part| {
                *part += 10;
                (number, thread::current().name().map(str::to_owned))
            });
            assert_eq!(came.iter().map(|c| c.0).collect::<Vec<_>>(), [0, 1, 2]);
            assert_eq!(came[1].1.as_deref(), Some("windows-1"));
            assert_eq!(came[2].1.as_deref(), Some("windows-2"));
        }
        assert_eq!(parts, [1001, 1002, 1003]);
        assert_eq!(workers.each(&mut Vec::<u8>::new(), |_, _| ()), []);
    }

    #[test]
    fn a_panic_on_another_thread_is_one_here_and_the_thread_goes_on() {
        let workers = Workers::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            workers.each(&mut vec![0, 1], |number, _| assert!(number == 0, "number {number}"))
        }));
        let text = *panicked.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(text, "number 1");
        assert_eq!(workers.each(&mut vec![5, 6], |_, part| *part), [5, 6]);
    }
}
