//! One joint: mass, motor and position loop.

use std::f64::consts::TAU;

use super::config::SceneConfig;

/// A joint that follows a commanded position as a critically damped second-order system with limits on speed and
/// acceleration, and with end stops.
#[derive(Clone, Debug)]
pub struct Servo {
    /// Radian.
    position: f64,
    /// Radian a second.
    velocity: f64,
    /// Radian.
    command: f64,
    /// End stops at plus and minus this, radian.
    range: f64,
    /// Radian a second.
    speed: f64,
    /// Radian a second squared.
    acceleration: f64,
    /// Natural angular frequency, radian a second.
    stiffness: f64,
}

impl Servo {
    /// At rest at 0. `range` in radian.
    pub fn new(config: &SceneConfig, range: f64) -> Self {
        Self {
            position: 0.0,
            velocity: 0.0,
            command: 0.0,
            range,
            speed: config.speed.radians(),
            acceleration: config.acceleration.radians(),
            stiffness: config.stiffness.get() * TAU,
        }
    }

    pub fn position(&self) -> f64 {
        self.position
    }

    /// Radian; beyond the end stops means: at the end stop.
    pub fn command(&mut self, position: f64) {
        self.command = position.clamp(-self.range, self.range);
    }

    /// Lets `dt` seconds pass, at most 1 ms (semi-implicit Euler: stable while stiffness * dt is well below 1).
    pub fn step(&mut self, dt: f64) {
        let pull = self.stiffness * self.stiffness * (self.command - self.position)
            - 2.0 * self.stiffness * self.velocity;
        let acceleration = pull.clamp(-self.acceleration, self.acceleration);
        self.velocity = (self.velocity + acceleration * dt).clamp(-self.speed, self.speed);
        self.position += self.velocity * dt;
        if self.position.abs() > self.range {
            self.position = self.position.clamp(-self.range, self.range);
            self.velocity = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(servo: &mut Servo, seconds: f64, mut see: impl FnMut(f64, f64)) {
        let mut t = 0.0;
        while t < seconds {
            let before = servo.position;
            servo.step(1e-3);
            see(before, servo.position);
            t += 1e-3;
        }
    }

    #[test]
    fn a_joint_reaches_its_command_within_its_limits() {
        let mut servo = Servo::new(&SceneConfig::default(), 1.4);
        servo.command(1.2);
        let (mut last_v, mut top, mut hardest, mut highest) = (0.0, 0.0f64, 0.0f64, 0.0f64);
        run(&mut servo, 3.0, |a, b| {
            let v = (b - a) / 1e-3;
            top = top.max(v.abs());
            hardest = hardest.max((v - last_v).abs() / 1e-3);
            highest = highest.max(b);
            last_v = v;
        });
        assert!((servo.position - 1.2).abs() < 1e-3);
        assert!(top <= servo.speed * 1.000_001 && top > servo.speed * 0.9);
        assert!(hardest <= servo.acceleration * 1.000_001);
        assert!(highest < 1.2 + 0.01, "no overshoot to speak of: {highest}");
    }

    #[test]
    fn an_end_stop_stops() {
        let mut servo = Servo::new(&SceneConfig::default(), 0.5);
        servo.command(9.0);
        run(&mut servo, 3.0, |_, b| assert!(b <= 0.5));
        assert!((servo.position - 0.5).abs() < 1e-3);
    }
}
