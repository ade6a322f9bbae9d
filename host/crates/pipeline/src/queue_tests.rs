//! The queue by itself: its order, its bounds, who waits and who is told of its end.

use super::*;

/// Below 50 it is a fact, then samples; from 100 on it is kept.
impl Item for u32 {
    fn worth(&self) -> Worth {
        match self {
            0..50 => Worth::Fact,
            50..100 => Worth::Sample,
            _ => Worth::Kept,
        }
    }

    fn ends(&self) -> bool {
        *self >= 200
    }

    /// 201 is the end of 101, and so on.
    fn undoes(&self, earlier: &Self) -> bool {
        *self >= 200 && *earlier == self - 100
    }

    /// 1 is about 101, and so on.
    fn needs(&self, earlier: &Self) -> bool {
        *self < 50 && *earlier == self + 100
    }
}

fn small(items: usize, bytes: usize) -> (Sender<u32>, Receiver<u32>) {
    queue(Bounds { items, bytes, when_full: WhenFull::Wait }, Arc::default())
}

#[tokio::test]
async fn the_oldest_that_may_go_makes_room_and_is_counted() {
    let meter = Arc::<QueueMeter>::default();
    let (sender, mut receiver) = queue(Bounds { items: 3, bytes: 100, when_full: WhenFull::DropOldest }, Arc::clone(&meter));
    for number in [1, 100, 2, 3, 4] {
        sender.send(number, 1).await.unwrap();
    }
    assert_eq!(receiver.take(9).await, Some(vec![100, 2, 3, 4]), "what is never dropped takes no room");
    assert_eq!((meter.dropped.get(), meter.bytes.get()), (1, 0));
}

#[tokio::test]
async fn a_queue_in_which_nothing_may_go_makes_its_sender_wait() {
    let (sender, mut receiver) = queue(Bounds { items: 1, bytes: 100, when_full: WhenFull::DropSamples }, Arc::default());
    sender.send(2, 1).await.unwrap();
    let mut second = Box::pin(sender.send(1, 1));
    assert!(futures::poll!(&mut second).is_pending());
    assert!(receiver.is_blocked());
    drop(second);
    assert!(!receiver.is_blocked(), "a sender that has given up waits no more");
    assert_eq!(receiver.take(9).await, Some(vec![2]));
}

#[tokio::test]
async fn a_sender_that_was_made_room_for_is_not_blocked_until_it_finds_none_again() {
    let (sender, mut receiver) = small(2, 100);
    for number in [1, 2] {
        sender.send(number, 1).await.unwrap();
    }
    let mut third = Box::pin(sender.send(3, 1));
    assert!(!receiver.wait_until_blocked(Duration::ZERO));
    assert!(futures::poll!(&mut third).is_pending());
    assert!(receiver.wait_until_blocked(Duration::from_hours(1)));
    assert_eq!(receiver.take_now(1).0, [1]);
    assert!(!receiver.is_blocked(), "it has room, though it has not come to it");
    third.await.unwrap();
    let mut fourth = Box::pin(sender.send(4, 1));
    assert!(futures::poll!(&mut fourth).is_pending());
    assert!(receiver.is_blocked());
    sender.valve().shut();
    assert!(!receiver.wait_until_blocked(Duration::from_hours(1)), "nobody waits at a queue that is closed");
}

#[test]
fn a_thread_that_waits_for_a_blocked_sender_is_woken_by_one_and_by_the_end() {
    let (sender, mut receiver) = small(1, 100);
    let thread = std::thread::spawn(move || {
        assert!(receiver.wait_until_blocked(Duration::from_hours(1)));
        receiver.take_now(1);
        assert!(!receiver.wait_until_blocked(Duration::from_hours(1)));
        receiver.is_closed()
    });
    for number in [1, 2] {
        futures::executor::block_on(sender.send(number, 1)).unwrap();
    }
    drop(sender);
    assert!(thread.join().unwrap());
}

#[tokio::test]
async fn items_come_out_in_the_order_in_which_they_went_in() {
    let (sender, mut receiver) = small(10, 100);
    for number in 0..5 {
        sender.send(number, 1).await.unwrap();
    }
    assert_eq!(receiver.take(3).await, Some(vec![0, 1, 2]));
    assert_eq!(receiver.take(3).await, Some(vec![3, 4]));
    drop(sender);
    assert_eq!(receiver.take(3).await, None);
}

#[tokio::test]
async fn a_full_queue_makes_the_sender_wait_by_items_and_by_bytes() {
    for (sender, mut receiver) in [small(1, 100), small(10, 3)] {
        sender.send(1, 2).await.unwrap();
        let mut second = Box::pin(sender.send(2, 2));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(receiver.take(1).await, Some(vec![1]));
        second.await.unwrap();
        assert_eq!(receiver.take(1).await, Some(vec![2]));
    }
}

#[tokio::test]
async fn an_item_heavier_than_the_queue_passes_alone() {
    let (sender, mut receiver) = small(10, 3);
    sender.send(1, 1000).await.unwrap();
    assert!(futures::poll!(Box::pin(sender.send(2, 1))).is_pending());
    assert_eq!(receiver.take(9).await, Some(vec![1]));
}

#[tokio::test]
async fn a_sender_without_receiver_is_told_so_even_while_it_waits() {
    let (sender, receiver) = small(1, 100);
    sender.send(1, 1).await.unwrap();
    let mut second = Box::pin(sender.send(2, 1));
    assert!(futures::poll!(&mut second).is_pending());
    drop(receiver);
    assert_eq!(second.await, Err(Closed));
}

#[test]
fn a_thread_waits_for_a_sender_on_another_thread() {
    let (sender, mut receiver) = small(4, 100);
    let thread = std::thread::spawn(move || {
        let mut taken = Vec::new();
        while let Some(items) = receiver.take_blocking(2) {
            taken.extend(items);
        }
        taken
    });
    for number in 0..1000 {
        futures::executor::block_on(sender.send(number, 1)).unwrap();
    }
    drop(sender);
    assert_eq!(thread.join().unwrap(), (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_queue_that_is_shut_takes_nothing_more_and_gives_what_it_has() {
    let (sender, mut receiver) = small(1, 100);
    let valve = sender.valve();
    sender.send(1, 1).await.unwrap();
    let mut second = Box::pin(sender.send(2, 1));
    assert!(futures::poll!(&mut second).is_pending());
    let mut shut = Box::pin(valve.closed());
    assert!(futures::poll!(&mut shut).is_pending());
    valve.shut();
    shut.await;
    assert_eq!(second.await, Err(Closed));
    assert!(receiver.is_closed());
    assert_eq!(receiver.take(9).await, Some(vec![1]));
    assert_eq!(receiver.take(9).await, None);
}

#[tokio::test]
async fn wider_bounds_let_those_go_on_who_wait() {
    let (sender, receiver) = small(1, 100);
    sender.send(1, 1).await.unwrap();
    let mut second = Box::pin(sender.send(2, 1));
    assert!(futures::poll!(&mut second).is_pending());
    sender.valve().set_bounds(Bounds { items: 2, bytes: 100, when_full: WhenFull::Wait });
    second.await.unwrap();
    drop(receiver);
}

#[tokio::test]
async fn the_meter_shows_what_is_held() {
    let meter = Arc::<QueueMeter>::default();
    let (sender, mut receiver) = queue(Bounds { items: 4, bytes: 100, when_full: WhenFull::Wait }, Arc::clone(&meter));
    sender.send(1, 7).await.unwrap();
    sender.send(2, 5).await.unwrap();
    assert_eq!((meter.length.get(), meter.bytes.get()), (2, 12));
    receiver.take(1).await;
    assert_eq!((meter.length.get(), meter.bytes.get()), (1, 5));
}

#[tokio::test]
async fn samples_make_room_for_each_other_and_all_else_waits() {
    let meter = Arc::<QueueMeter>::default();
    let (sender, mut receiver) = queue(Bounds { items: 2, bytes: 100, when_full: WhenFull::DropSamples }, Arc::clone(&meter));
    sender.send(50, 1).await.unwrap();
    sender.send(1, 1).await.unwrap();
    sender.send(51, 1).await.unwrap();
    assert_eq!(meter.dropped.get(), 1, "the older sample has made room");
    sender.send(2, 1).await.unwrap();
    assert_eq!(meter.dropped.get(), 2, "for a fact, too");
    let mut third = Box::pin(sender.send(3, 1));
    assert!(futures::poll!(&mut third).is_pending(), "a fact waits for facts");
    sender.send(52, 1).await.unwrap();
    assert_eq!(meter.dropped.get(), 3, "a sample for which there is no room is dropped, and its sender goes on");
    assert_eq!(receiver.take(9).await, Some(vec![1, 2]));
    third.await.unwrap();
    assert_eq!(receiver.take(9).await, Some(vec![3]));
}

#[tokio::test]
async fn what_is_never_dropped_holds_up_nobody_where_others_are_dropped() {
    for when_full in [WhenFull::DropSamples, WhenFull::DropOldest] {
        let (sender, mut receiver) = queue(Bounds { items: 2, bytes: 100, when_full }, Arc::default());
        for item in [101, 102, 103, 104] {
            sender.send(item, 1).await.unwrap();
        }
        // What has come and gone meanwhile is of no interest.
        for number in 5..50 {
            sender.send(100 + number, 1).await.unwrap();
            sender.send(200 + number, 1).await.unwrap();
        }
        sender.send(202, 1).await.unwrap();
        assert_eq!(receiver.take(99).await, Some(vec![101, 103, 104]), "{when_full:?}");
        sender.send(203, 1).await.unwrap();
        assert_eq!(receiver.take(99).await, Some(vec![203]), "the end of what is known is told");
    }
}

#[tokio::test]
async fn what_something_waits_about_is_told_to_its_end() {
    let (sender, mut receiver) = queue(Bounds { items: 2, bytes: 100, when_full: WhenFull::DropSamples }, Arc::default());
    for item in [101, 1, 201] {
        sender.send(item, 1).await.unwrap();
    }
    assert_eq!(receiver.take(99).await, Some(vec![101, 1, 201]));
}

#[tokio::test]
async fn the_newest_is_dropped_where_the_oldest_shall_stay_and_what_is_never_dropped_waits() {
    let meter = Arc::<QueueMeter>::default();
    let bounds = Bounds { items: 2, bytes: 100, when_full: WhenFull::DropNewest };
    let (sender, mut receiver) = queue(bounds, Arc::clone(&meter));
    for item in [1, 101, 2, 50] {
        sender.send(item, 1).await.unwrap();
    }
    assert_eq!(meter.dropped.get(), 2, "a fact and a sample for which there was no room");
    assert!(!receiver.is_blocked());
    let mut kept = Box::pin(sender.send(102, 1));
    assert!(futures::poll!(&mut kept).is_pending());
    assert!(receiver.is_blocked());
    assert_eq!(receiver.take(9).await, Some(vec![1, 101]));
    kept.await.unwrap();
    assert_eq!(receiver.take(9).await, Some(vec![102]));
    assert_eq!(meter.dropped.get(), 2);
}

#[tokio::test]
async fn what_is_in_work_takes_room_until_more_is_taken_or_it_is_released() {
    let meter = Arc::<QueueMeter>::default();
    let (sender, mut receiver) = queue(Bounds { items: 10, bytes: 10, when_full: WhenFull::Wait }, Arc::clone(&meter));
    for item in [1, 2, 3, 4] {
        sender.send(item, 2).await.unwrap();
    }
    assert_eq!(receiver.take(2).await, Some(vec![1, 2]));
    assert_eq!((meter.length.get(), meter.bytes.get(), meter.bytes_in_work.get()), (2, 4, 4));
    sender.send(5, 2).await.unwrap();
    let mut more = Box::pin(sender.send(6, 2));
    assert!(futures::poll!(&mut more).is_pending(), "ten bytes are held");
    receiver.release();
    assert_eq!(meter.bytes_in_work.get(), 0);
    more.await.unwrap();
    assert_eq!(receiver.take(2).await, Some(vec![3, 4]));
    sender.send(7, 2).await.unwrap();
    let mut more = Box::pin(sender.send(8, 2));
    assert!(futures::poll!(&mut more).is_pending());
    assert_eq!(receiver.take(1).await, Some(vec![5]), "what was taken before counts no more");
    more.await.unwrap();
    drop(receiver);
    assert_eq!((meter.bytes.get(), meter.bytes_in_work.get()), (0, 0));
}

#[tokio::test]
async fn what_is_in_work_is_waited_for_where_nothing_waits_but_not_by_what_weighs_more_than_half() {
    let (sender, mut receiver) = small(10, 10);
    sender.send(1, 8).await.unwrap();
    receiver.take(1).await;
    let mut light = Box::pin(sender.send(2, 3));
    assert!(futures::poll!(&mut light).is_pending());
    sender.send(3, 6).await.unwrap();
    assert!(futures::poll!(&mut light).is_pending());
    assert_eq!(receiver.take(9).await, Some(vec![3]));
    light.await.unwrap();
    assert_eq!(receiver.take(9).await, Some(vec![2]));
}

#[tokio::test]
async fn no_more_than_half_of_the_bytes_is_taken_at_once_or_else_one_item() {
    let (sender, mut receiver) = small(10, 10);
    for item in [1, 2, 3] {
        sender.send(item, 3).await.unwrap();
    }
    assert_eq!(receiver.take(9).await, Some(vec![1]));
    assert_eq!(receiver.take(9).await, Some(vec![2]));
    sender.send(4, 2).await.unwrap();
    assert_eq!(receiver.take(9).await, Some(vec![3, 4]));
    sender.send(5, 9).await.unwrap();
    assert_eq!(receiver.take(9).await, Some(vec![5]), "an item goes in when nothing waits, and comes out, whatever it weighs");
}

#[tokio::test]
async fn a_receiver_that_takes_what_is_there_for_nothing_keeps_what_it_has_in_work() {
    let meter = Arc::<QueueMeter>::default();
    let (sender, mut receiver) = queue(Bounds { items: 10, bytes: 10, when_full: WhenFull::Wait }, Arc::clone(&meter));
    for item in [1, 2, 3] {
        sender.send(item, 3).await.unwrap();
    }
    receiver.take(1).await;
    let mut fourth = Box::pin(sender.send(4, 3));
    assert!(futures::poll!(&mut fourth).is_pending());
    assert_eq!(receiver.take_now(9).0, [2, 3]);
    assert_eq!(meter.bytes_in_work.get(), 3);
    fourth.await.unwrap();
}

#[tokio::test]
async fn a_task_is_told_of_a_blocked_sender_and_of_the_end() {
    let (sender, mut receiver) = small(1, 100);
    sender.send(1, 1).await.unwrap();
    {
        let mut pressed = Box::pin(receiver.pressed());
        assert!(futures::poll!(&mut pressed).is_pending());
        let mut second = Box::pin(sender.send(2, 1));
        assert!(futures::poll!(&mut second).is_pending());
        pressed.await;
    }
    receiver.take(1).await;
    let mut pressed = Box::pin(receiver.pressed());
    assert!(futures::poll!(&mut pressed).is_pending());
    drop(sender);
    pressed.await;
}

#[tokio::test]
async fn narrower_bounds_drop_what_may_be_dropped_at_once_and_all_else_stays() {
    let meter = Arc::<QueueMeter>::default();
    let bounds = |bytes, when_full| Bounds { items: 10, bytes, when_full };
    let (sender, mut receiver) = queue(bounds(100, WhenFull::DropOldest), Arc::clone(&meter));
    for item in [1, 101, 2, 3] {
        sender.send(item, 10).await.unwrap();
    }
    sender.valve().set_bounds(bounds(25, WhenFull::DropOldest));
    assert_eq!((meter.dropped.get(), meter.bytes.get()), (2, 20));
    sender.valve().set_bounds(bounds(5, WhenFull::Wait));
    assert_eq!(meter.dropped.get(), 2);
    assert!(futures::poll!(Box::pin(sender.send(4, 1))).is_pending());
    assert_eq!(receiver.take(1).await, Some(vec![101]));
    assert_eq!(receiver.take(1).await, Some(vec![3]));
}

#[tokio::test]
async fn what_is_never_dropped_takes_the_bytes_of_what_is() {
    let meter = Arc::<QueueMeter>::default();
    let bounds = Bounds { items: 10, bytes: 10, when_full: WhenFull::DropOldest };
    let (sender, mut receiver) = queue(bounds, Arc::clone(&meter));
    for item in [1, 2, 3] {
        sender.send(item, 3).await.unwrap();
    }
    sender.send(104, 3).await.unwrap();
    assert_eq!((meter.dropped.get(), meter.bytes.get()), (1, 9));
    assert_eq!(receiver.take_now(9).0, [2, 3, 104]);
}

#[tokio::test]
async fn what_comes_and_goes_does_not_pile_up_though_something_about_it_waited_for_a_while() {
    let meter = Arc::<QueueMeter>::default();
    let bounds = Bounds { items: 2, bytes: 1000, when_full: WhenFull::DropOldest };
    let (sender, mut receiver) = queue(bounds, Arc::clone(&meter));
    sender.send(149, 1).await.unwrap();
    let mut most = 0;
    for number in (1..49).cycle().take(1000) {
        for item in [100 + number, number, 200 + number] {
            sender.send(item, 1).await.unwrap();
        }
        most = most.max(meter.length.get());
    }
    assert!(most <= 16, "{most} items");
    assert_eq!(meter.dropped.get(), 998);
    let left = receiver.take_now(99).0;
    assert!(left.ends_with(&[139, 39, 239, 140, 40, 240]) && left.first() == Some(&149), "{left:?}");
    for (index, item) in left.iter().enumerate().filter(|(_, item)| **item >= 200) {
        assert!(left.iter().take(index).any(|begin| *begin == item - 100), "{item} has no beginning in {left:?}");
    }
}
