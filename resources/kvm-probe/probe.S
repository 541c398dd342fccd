/*
 * The KVM probe: a boot sector that does what an operating system does first, and says so on the serial port.
 *
 * /dev/kvm can exist, open, run firmware, and still be of no use: on a host without hardware virtualisation (PVM, seen
 * with kernel 6.18) KVM interprets an ordinary guest instruction by instruction, which looks like a hang. So this
 *  - enters 64-bit mode with 4 KiB and 2 MiB pages, writes and reads back 14 MiB through them, moves a page;
 *  - takes a page fault, maps the page in the handler, and goes on;
 *  - runs SSE2 instructions, which every 64-bit system uses and KVM's interpreter does not know;
 *  - runs 100 million instructions: under 0.1 s on a CPU, half a minute in the interpreter;
 * and only then writes its magic line to COM1. It repeats the line for as long as it runs, because a reader who
 * connects late must see it too. A check that fails stops the CPU without a word.
 *
 * Build (the bytes, and the checksum of this file, are kept in src/manager/facts/kvm-probe-image.ts; a test boots them):
 *   as --64 probe.S -o probe.o && ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -e start probe.o -o probe.img
 *   base64 probe.img; sha256sum probe.S
 */
        .set PML4, 0x1000
        .set PDPT, 0x2000
        .set PD, 0x3000
        .set PT, 0x4000
        .set PRESENT_WRITABLE, 0x3
        .set PRESENT_WRITABLE_LARGE, 0x83
        .set COM1, 0x3f8
        .set IDT, 0x5000
        .set UNMAPPED, 0x1000000

        .text
        .globl start
        .code16
start:
        cli
        cld
        ljmp    $0, $segments
segments:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp

        # Four empty page tables and an empty interrupt table from 0x1000 to 0x5fff.
        movw    $PML4, %di
        movw    $0x2800, %cx
        rep stosw
        movw    $(PDPT | PRESENT_WRITABLE), PML4
        movw    $(PD | PRESENT_WRITABLE), PDPT
        movw    $(PT | PRESENT_WRITABLE), PD

        # The first 2 MiB as 4 KiB pages, each at its own address.
        movw    $PT, %di
        movl    $PRESENT_WRITABLE, %eax
        movw    $512, %cx
small:  movl    %eax, (%di)
        addl    $0x1000, %eax
        addw    $8, %di
        loop    small

        # 2 to 16 MiB as 2 MiB pages.
        movw    $(PD + 8), %di
        movl    $(0x200000 | PRESENT_WRITABLE_LARGE), %eax
        movw    $7, %cx
large:  movl    %eax, (%di)
        addl    $0x200000, %eax
        addw    $8, %di
        loop    large

        # SSE and PAE, page tables, long mode, then protection and paging in one step.
        movl    %cr4, %eax
        orw     $0x220, %ax
        movl    %eax, %cr4
        movl    $PML4, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx
        rdmsr
        orb     $0x01, %ah
        wrmsr
        lgdt    gdt_pointer
        movl    %cr0, %eax
        andb    $0xfb, %al
        orl     $0x80000003, %eax
        movl    %eax, %cr0
        ljmp    $0x08, $long_mode

        .code64
long_mode:
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss

        # Every 4 KiB page from 2 to 16 MiB keeps what is written to it: its own address.
        movl    $0x200000, %edi
write:  movq    %rdi, (%rdi)
        addl    $0x1000, %edi
        cmpl    $0x1000000, %edi
        jb      write
read:   subl    $0x1000, %edi
        cmpq    %rdi, (%rdi)
        jne     stop
        cmpl    $0x200000, %edi
        ja      read

        # Virtual page 0x100000 moves to physical 0x300000, where its address was written above.
        movl    $(0x300000 | PRESENT_WRITABLE), PT + 0x100 * 8
        invlpg  0x100000
        cmpl    $0x300000, 0x100000
        jne     stop

        # A page that is not there comes by way of the page fault handler (vector 14).
        movw    $page_fault, IDT + 14 * 16
        movl    $0x8e000008, IDT + 14 * 16 + 2
        lidt    idt_pointer
        movq    %rdi, UNMAPPED + 0x10
        cmpq    %rdi, UNMAPPED + 0x10
        jne     stop

        # 64-bit sums in an SSE2 register beside the same sums in an ordinary one: 20 million rounds of 5 instructions.
        movl    $20000000, %ecx
        movd    %ecx, %xmm1
        pxor    %xmm0, %xmm0
        xorl    %eax, %eax
        movl    %ecx, %ebx
sum:    paddq   %xmm1, %xmm0
        addq    %rbx, %rax
        xorl    %ecx, %esi
        decl    %ecx
        jnz     sum
        movq    %xmm0, %rdx
        cmpq    %rdx, %rax
        jne     stop

say:    movl    $magic, %esi
        movl    $(magic_end - magic), %ebx
next:   movl    $(COM1 + 5), %edx
wait:   pause
        inb     %dx, %al
        testb   $0x20, %al
        jz      wait
        movl    $COM1, %edx
        lodsb
        outb    %al, %dx
        decl    %ebx
        jnz     next
        movl    $1000000, %ecx
rest:   pause
        loop    rest
        jmp     say

stop:   hlt
        jmp     stop

page_fault:
        movl    $(UNMAPPED | PRESENT_WRITABLE_LARGE), PD + 8 * 8
        addq    $8, %rsp
        iretq

        .align 8
gdt:    .quad   0
        .quad   0x00209a0000000000      # 64-bit code
        .quad   0x0000920000000000      # data
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   gdt
idt_pointer:
        .word   15 * 16 - 1
        .quad   IDT

magic:  .ascii  "qward: 64-bit paging works\r\n"
magic_end:
        .org    510
        .word   0xaa55
